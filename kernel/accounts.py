"""Who may come in: users for proven identities."""

from __future__ import annotations

from tortoise.exceptions import IntegrityError
from tortoise.expressions import Subquery
from tortoise.transactions import in_transaction

from . import events
from .contracts.auth import Identity
from .errors import Forbidden
from .models import Account, Membership, Role, Team, User

OPERATOR_TEAM = "default"

# No plugin's provider can be called so: the account of the command line belongs to no person.
SYSTEM = "@system"


async def ensure_operator_team() -> Team:
    """Return the team that the operator owns; it is made on first use."""
    try:
        team, _ = await Team.get_or_create(name=OPERATOR_TEAM)
    except IntegrityError:
        return await Team.get(name=OPERATOR_TEAM)
    return team


async def has_operator() -> bool:
    """Tell whether a person runs the installation; without one there is a first-run link."""
    operators = User.filter(is_operator=True).values("id")
    return await Account.filter(user_id__in=Subquery(operators)).exclude(provider=SYSTEM).exists()


async def user_for_identity(provider: str, identity: Identity, *, invited: bool = False) -> User:
    """Return the user of a proven identity, who is made if that is allowed.

    The first person who may found the installation becomes its operator and owns the team
    `default`. Others get a team of their own, in which they are owner: nobody shares by default.

    Raises:
        Forbidden: the person is unknown and may not register.
    """
    if known := await find(provider, identity):
        return known
    await ensure_operator_team()
    async with in_transaction():
        await in_turn()
        if known := await find(provider, identity):
            return known
        is_founder = identity.may_found and not await has_operator()
        if not (is_founder or invited or identity.may_register):
            raise Forbidden(
                f"{identity.name} has no account here",
                hint="ask an operator of this installation for an invitation",
            )
        return await _register(provider, identity, is_operator=is_founder)


async def in_turn() -> None:
    """Lock a row on PostgreSQL too: who has which account is decided one after the other."""
    await Team.filter(name=OPERATOR_TEAM).update(name=OPERATOR_TEAM)


async def find(provider: str, identity: Identity) -> User | None:
    """Return whose identity it is; None if it is nobody's here."""
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
