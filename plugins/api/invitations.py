"""Links by which one person each comes into a team."""

from __future__ import annotations

from datetime import timedelta

from aiohttp import web
from tortoise.transactions import in_transaction

from helvetia.kernel import events, secrets
from helvetia.kernel.errors import NotFound
from helvetia.kernel.http import cookies
from helvetia.kernel.models import Membership, Role, Team, User, utcnow

from .models import Invitation

PATH = "/join"
COOKIE = "helvetia_invitation"
LIFETIME = timedelta(days=7)


async def make(team: Team, role: Role, *, actor: str) -> tuple[str, Invitation]:
    """Make an invitation; return the secret of its link, which is kept nowhere, and it."""
    clear = secrets.new_token("hvi")
    now = utcnow()
    async with in_transaction():
        await Invitation.filter(expires_at__lt=now).delete()
        made = await Invitation.create(
            team_id=team.id, role=role, digest=secrets.digest(clear), expires_at=now + LIFETIME
        )
        await events.record(
            "invitation.created", actor=actor, team_id=team.id, invitation=made.id, role=role.value
        )
    return clear, made


async def find(clear: str) -> Invitation | None:
    """Return the invitation of a link, with its team, if it is still good."""
    if not clear:
        return None
    return await Invitation.get_or_none(
        digest=secrets.digest(clear), expires_at__gt=utcnow()
    ).select_related("team")


async def held_by(request: web.Request) -> bool:
    """Tell whether the browser came by a link that is still good."""
    return await find(cookies.cookie(request, COOKIE)) is not None


async def claim(clear: str) -> Invitation:
    """Use an invitation up: of two people with one link one is faster.

    Raises:
        NotFound: it was used or has run out.
    """
    found = await find(clear)
    if found is None or not await Invitation.filter(id=found.id).delete():
        raise NotFound("this invitation was used already, or it has run out")
    return found


async def take_in(found: Invitation, user: User) -> None:
    """Let somebody into the team of an invitation that was theirs; a member keeps their role."""
    async with in_transaction():
        if not await Membership.exists(user_id=user.id, team_id=found.team_id):
            await Membership.create(user_id=user.id, team_id=found.team_id, role=found.role)
        await events.record(
            "invitation.accepted",
            actor=user.id,
            team_id=found.team_id,
            invitation=found.id,
            role=found.role.value,
        )
