"""Who may come in: users for proven identities, and their sessions."""

from __future__ import annotations

import secrets as randomness
from datetime import timedelta

from tortoise.exceptions import IntegrityError
from tortoise.queryset import QuerySet
from tortoise.transactions import in_transaction

from . import events, secrets
from .contracts.auth import Identity
from .errors import Forbidden
from .models import Account, Membership, Role, Session, Team, Token, User, utcnow

OPERATOR_TEAM = "default"
SESSION_LIFETIME = timedelta(days=14)
LOCAL_TOKEN = "local"  # noqa: S105 - a token's name

# No plugin's provider can be called so: the account of the command line belongs to no person.
_SYSTEM = "@system"
_SYSTEM_SUBJECT = "local-operator"


async def ensure_operator_team() -> Team:
    """Return the team that the operator owns; it is made on first use."""
    try:
        team, _ = await Team.get_or_create(name=OPERATOR_TEAM)
    except IntegrityError:
        return await Team.get(name=OPERATOR_TEAM)
    return team


async def has_users() -> bool:
    """Tell whether any person has ever signed in; without one there is a first-run link."""
    return await _people().exists()


async def user_for_identity(provider: str, identity: Identity) -> User:
    """Return the user of a proven identity, who is made if that is allowed.

    The first person of the installation becomes its operator and owns the team `default`.
    Others get a team of their own, in which they are owner: nobody shares by default.

    Raises:
        Forbidden: the person is unknown and may not register.
    """
    if known := await _find(provider, identity):
        return known
    await ensure_operator_team()
    async with in_transaction():
        # Locks the row on PostgreSQL too: two first users must not both become operator.
        await Team.filter(name=OPERATOR_TEAM).update(name=OPERATOR_TEAM)
        if known := await _find(provider, identity):
            return known
        is_first = not await has_users()
        if not is_first and not identity.may_register:
            raise Forbidden(
                f"{identity.name} has no account here",
                hint="ask an operator of this installation for an invitation",
            )
        return await _register(provider, identity, is_operator=is_first)


async def create_session(user: User) -> tuple[str, Session]:
    """Begin a browser session; return the value of its cookie, which is kept nowhere, and it."""
    now = utcnow()
    await Session.filter(expires_at__lt=now).delete()
    value = secrets.new_token("hvs")
    session = await Session.create(
        user_id=user.id,
        digest=secrets.digest(value),
        csrf=randomness.token_urlsafe(32),
        expires_at=now + SESSION_LIFETIME,
    )
    await events.record("session.created", actor=user.id)
    return value, session


async def end_session(value: str) -> None:
    """End the session of a cookie; quiet if there is none."""
    await Session.filter(digest=secrets.digest(value)).delete()


async def local_token() -> str:
    """Make the token by which this machine's command line is operator; the former one is void.

    Whoever may read the file it goes to may read the database and its key too: it opens
    nothing more.
    """
    team = await ensure_operator_team()
    async with in_transaction():
        await Team.filter(id=team.id).update(name=OPERATOR_TEAM)
        account = await Account.get_or_none(provider=_SYSTEM, subject=_SYSTEM_SUBJECT)
        if account is None:
            user = await User.create(name="local operator", is_operator=True)
            await Account.create(user_id=user.id, provider=_SYSTEM, subject=_SYSTEM_SUBJECT)
            await Membership.create(user_id=user.id, team_id=team.id, role=Role.OWNER)
        else:
            user = await User.get(id=account.user_id)
        await Token.filter(user_id=user.id, name=LOCAL_TOKEN).delete()
        clear = secrets.new_token("hv")
        await Token.create(user_id=user.id, name=LOCAL_TOKEN, digest=secrets.digest(clear))
    return clear


def _people() -> QuerySet[Account]:
    return Account.exclude(provider=_SYSTEM)


async def _find(provider: str, identity: Identity) -> User | None:
    account = await Account.get_or_none(provider=provider, subject=identity.subject)
    return await User.get(id=account.user_id) if account else None


async def _register(provider: str, identity: Identity, *, is_operator: bool) -> User:
    user = await User.create(
        name=identity.name[:200], email=identity.email, is_operator=is_operator
    )
    await Account.create(user_id=user.id, provider=provider, subject=identity.subject)
    if is_operator:
        team = await Team.get(name=OPERATOR_TEAM)
    else:
        team = await Team.create(name=f"team-{user.id}")
    await Membership.create(user_id=user.id, team_id=team.id, role=Role.OWNER)
    await events.record("user.registered", actor=user.id, team_id=team.id, provider=provider)
    return user
