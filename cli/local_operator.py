"""The token by which this machine's command line is operator; it belongs to no person."""

from __future__ import annotations

from tortoise.transactions import in_transaction

from helvetia.kernel import accounts, secrets
from helvetia.kernel.models import Account, Membership, Role, Token, User

_SUBJECT = "local-operator"
_NAME = "local"


async def local_token() -> str:
    """Make the token by which this machine's command line is operator; the former one is void.

    Whoever may read the file it goes to may read the database and its key too: it opens
    nothing more.
    """
    team = await accounts.ensure_operator_team()
    async with in_transaction():
        await accounts.in_turn()
        account = await Account.get_or_none(provider=accounts.SYSTEM, subject=_SUBJECT)
        if account is None:
            user = await User.create(name="local operator", is_operator=True)
            await Account.create(user_id=user.id, provider=accounts.SYSTEM, subject=_SUBJECT)
            await Membership.create(user_id=user.id, team_id=team.id, role=Role.OWNER)
        else:
            user = await User.get(id=account.user_id)
        await Token.filter(user_id=user.id, name=_NAME).delete()
        clear = secrets.new_token("hv")
        await Token.create(user_id=user.id, name=_NAME, digest=secrets.digest(clear))
    return clear
