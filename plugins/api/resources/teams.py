"""Teams, their members, and invitations to them."""

from __future__ import annotations

from tortoise.transactions import in_transaction

from helvetia.kernel import events
from helvetia.kernel.errors import Conflict, NotFound
from helvetia.kernel.http.access import Policy
from helvetia.kernel.http.context import Call
from helvetia.kernel.http.origin import own_origin
from helvetia.kernel.http.routing import Resource
from helvetia.kernel.models import Membership, Role, Team, utcnow
from helvetia.plugins.api import invitations, people, schemas, teams
from helvetia.plugins.api.models import Invitation
from helvetia.plugins.api.pagination import PageQuery, page_of_all, page_of_newest

_TEAM = "/api/v1/teams/{team}"
_MEMBERS = f"{_TEAM}/members"
_INVITATIONS = f"{_TEAM}/invitations"
resource = Resource("teams")


@resource.get("/api/v1/teams", policy=Policy.SIGNED_IN, summary="List teams")
async def index(call: Call, query: PageQuery) -> schemas.Page[people.Team]:
    """List the teams that the caller is in by name; an operator sees all."""
    shown = [_shown(call, team, count) for team, count in await teams.of(call.caller)]
    return page_of_all(query, shown, key=lambda one: one.name)


@resource.post(
    "/api/v1/teams",
    policy=Policy.SIGNED_IN,
    summary="Make a team",
    status=201,
    errors=[Conflict],
)
async def create(call: Call, body: people.NewTeam) -> people.Team:
    """Make a team, of which the caller is owner."""
    team = await teams.create(body.name, call.user)
    return _shown(call, team, 1).model_copy(update={"role": "owner"})


@resource.delete(_TEAM, policy=Policy.ADMIN, summary="Delete a team", status=204, errors=[Conflict])
async def delete(call: Call, team: Team) -> None:
    """Delete a team without services, with its members and invitations; for its owners."""
    await teams.delete(call.caller, team)


@resource.delete(
    "/api/v1/memberships/{membership}",
    policy=Policy.SIGNED_IN,
    summary="Leave a team",
    status=204,
    errors=[Conflict, NotFound],
)
async def leave(call: Call, membership: str) -> None:
    """Leave a team, by its name or id. The last owner stays."""
    await teams.leave(call.caller, membership)


@resource.get(_MEMBERS, policy=Policy.VIEWER, summary="List members")
async def members(call: Call, team: Team, query: PageQuery) -> schemas.Page[people.Member]:
    """List who is in a team, by name."""
    rows = await Membership.filter(team_id=team.id).select_related("user")
    return page_of_all(query, list(map(_member, rows)), key=lambda one: f"{one.name} {one.id}")


@resource.post(_MEMBERS, policy=Policy.ADMIN, summary="Add a member", status=201, errors=[Conflict])
async def add(call: Call, team: Team, body: people.NewMember) -> people.Member:
    """Take somebody who has an account into a team; only owners make owners."""
    made = await teams.add(call.caller, team, body.user, Role(body.role))
    return _member(await _with_user(made))


@resource.patch(
    f"{_MEMBERS}/{{user}}",
    policy=Policy.ADMIN,
    summary="Change a member's role",
    errors=[Conflict, NotFound],
)
async def change(call: Call, team: Team, user: str, body: people.RoleChange) -> people.Member:
    """Give a member another role. The last owner stays."""
    changed = await teams.change(call.caller, team, user, Role(body.role))
    return _member(await _with_user(changed))


@resource.delete(
    f"{_MEMBERS}/{{user}}",
    policy=Policy.ADMIN,
    summary="Remove a member",
    status=204,
    errors=[Conflict, NotFound],
)
async def remove(call: Call, team: Team, user: str) -> None:
    """Take somebody out of a team. The last owner stays."""
    await teams.remove(call.caller, team, user)


@resource.get(_INVITATIONS, policy=Policy.ADMIN, summary="List invitations")
async def invited(call: Call, team: Team, query: PageQuery) -> schemas.Page[people.Invitation]:
    """List the links that are still good, without their secrets, the newest first."""
    rows = Invitation.filter(team_id=team.id, expires_at__gt=utcnow())
    return await page_of_newest(query, rows, show=_invitation)


@resource.post(_INVITATIONS, policy=Policy.ADMIN, summary="Invite somebody", status=201)
async def invite(call: Call, team: Team, body: people.NewInvitation) -> people.Invitation:
    """Make a link by which one person comes into the team within a week; it is shown this once.

    Whoever has no account gets one by it.
    """
    role = Role(body.role)
    teams.may_invite(call.caller, team, role)
    clear, made = await invitations.make(team, role, actor=call.user.id)
    url = f"{own_origin(call.request)}{invitations.PATH}?invitation={clear}"
    return _invitation(made).model_copy(update={"url": url})


@resource.delete(
    f"{_INVITATIONS}/{{invitation}}",
    policy=Policy.ADMIN,
    summary="Withdraw an invitation",
    status=204,
    errors=[NotFound],
)
async def withdraw(call: Call, team: Team, invitation: str) -> None:
    """Make a link worthless at once."""
    rows = Invitation.filter(team_id=team.id, id=invitation)
    is_id = invitation.isascii() and invitation.isalnum()
    async with in_transaction():
        if not is_id or not await rows.delete():
            raise NotFound("there is no such invitation")
        await events.record("invitation.withdrawn", team_id=team.id, invitation=invitation)


async def _with_user(member: Membership) -> Membership:
    await member.fetch_related("user")
    return member


def _shown(call: Call, team: Team, count: int) -> people.Team:
    role = call.caller.roles.get(team.id)
    return people.Team(
        id=team.id,
        name=team.name,
        role=role.value if role else None,
        members=count,
        created_at=team.created_at,
    )


def _member(row: Membership) -> people.Member:
    return people.Member(
        id=row.user_id,
        name=row.user.name,
        email=row.user.email,
        role=row.role.value,
        joined_at=row.created_at,
    )


def _invitation(row: Invitation) -> people.Invitation:
    return people.Invitation(
        id=row.id, role=row.role.value, created_at=row.created_at, expires_at=row.expires_at
    )
