"""Teams and who is in them. The last owner of a team stays its owner."""

from __future__ import annotations

import json
from collections import Counter

from tortoise.exceptions import IntegrityError
from tortoise.transactions import in_transaction

from helvetia.kernel import events
from helvetia.kernel.accounts import OPERATOR_TEAM
from helvetia.kernel.errors import Conflict, Forbidden, InvalidInput, NotFound
from helvetia.kernel.http.access import Caller, load_team
from helvetia.kernel.models import Membership, Role, Service, Team, User

from . import rights


async def create(name: str, owner: User) -> Team:
    """Make a team of one.

    Raises:
        Conflict: the name is taken.
    """
    try:
        async with in_transaction():
            team = await Team.create(name=name)
            await Membership.create(user_id=owner.id, team_id=team.id, role=Role.OWNER)
            await events.record("team.created", actor=owner.id, team_id=team.id, name=name)
    except IntegrityError:
        raise Conflict(f"there is a team {name} already", hint="choose another name") from None
    return team


async def of(caller: Caller) -> list[tuple[Team, int]]:
    """Return the teams that the caller sees, with how many people are in each, by name."""
    query = Team.all() if caller.visible_teams is None else Team.filter(id__in=caller.visible_teams)
    teams = await query.order_by("name")
    members = await Membership.filter(team_id__in=[team.id for team in teams])
    counts = Counter(member.team_id for member in members)
    return [(team, counts[team.id]) for team in teams]


async def add(caller: Caller, team: Team, user_id: str, role: Role) -> Membership:
    """Take somebody who has an account into a team.

    Raises:
        InvalidInput: there is no such user.
        Conflict: they are in it.
        Forbidden: the caller may not make owners.
    """
    _may_touch(caller, team, role)
    if not await User.exists(id=user_id):
        raise InvalidInput("user", "is nobody's id here")
    try:
        async with in_transaction():
            made = await Membership.create(user_id=user_id, team_id=team.id, role=role)
            await events.record("member.added", team_id=team.id, user=user_id, role=role.value)
    except IntegrityError:
        raise Conflict("they are in the team already", hint="change their role") from None
    return made


async def change(caller: Caller, team: Team, user_id: str, role: Role) -> Membership:
    """Give a member another role.

    Raises:
        NotFound: nobody of that id is in the team.
        Conflict: they are the last owner.
        Forbidden: the caller may not make or change owners.
    """
    async with in_transaction():
        member = await _member(caller, team, user_id)
        _may_touch(caller, team, role)
        if role is not Role.OWNER:
            await _keep_an_owner(team, member)
        before, member.role = member.role, role
        await member.save(update_fields=["role"])
        await events.record(
            "member.changed",
            team_id=team.id,
            user=user_id,
            before=json.dumps({"role": before.value}),
            after=json.dumps({"role": role.value}),
        )
    rights.ended()
    return member


async def remove(caller: Caller, team: Team, user_id: str) -> None:
    """Take somebody out of a team; what they may there ends with it, at once.

    Raises:
        NotFound: nobody of that id is in the team.
        Conflict: they are the last owner.
        Forbidden: the caller may not remove owners.
    """
    async with in_transaction():
        member = await _member(caller, team, user_id)
        await _keep_an_owner(team, member)
        await member.delete()
        await events.record("member.removed", team_id=team.id, user=user_id)
    rights.ended()


async def leave(caller: Caller, key: str) -> None:
    """Take the caller out of a team; what they may there ends with it, at once.

    Raises:
        NotFound: they are in no such team.
        Conflict: they are its last owner.
    """
    team = await load_team(caller, key, Role.VIEWER)
    async with in_transaction():
        # Locked: two owners must not both leave.
        await Team.filter(id=team.id).update(name=team.name)
        member = await Membership.get_or_none(team_id=team.id, user_id=caller.user.id)
        if member is None:
            raise NotFound(f"you are not in the team {team.name}", hint="see `helvetia teams list`")
        await _keep_an_owner(team, member)
        await member.delete()
        await events.record("member.left", team_id=team.id, user=caller.user.id)
    rights.ended()


async def delete(caller: Caller, team: Team) -> None:
    """Delete a team that has nothing any more.

    Raises:
        Conflict: it has services, or it is the operators'.
        Forbidden: the caller is none of its owners.
    """
    if team.name == OPERATOR_TEAM:
        raise Conflict(f"the team {team.name} belongs to the installation")
    async with in_transaction():
        # Locked against new services too: each has a reference to the row.
        await Team.select_for_update().get(id=team.id)
        names = (
            await Service.filter(team_id=team.id).order_by("name").values_list("name", flat=True)
        )
        if names:
            raise Conflict(
                f"the team {team.name} has services: {', '.join(map(str, names[:5]))}",
                hint="delete them first; one that is being deleted is gone in a moment",
            )
        if not caller.may(Role.OWNER, team.id):
            raise Forbidden("only owners of the team delete it")
        await Team.filter(id=team.id).delete()
        await events.record("team.deleted", team_id=team.id, name=team.name, team=team.id)
    rights.ended()


def may_invite(caller: Caller, team: Team, role: Role) -> None:
    """Refuse to hand out a role that the caller may not give.

    Raises:
        Forbidden: the caller may not make owners.
    """
    _may_touch(caller, team, role)


async def _member(caller: Caller, team: Team, user_id: str) -> Membership:
    """Return a member, with the team locked: two owners must not remove each other at once."""
    await Team.filter(id=team.id).update(name=team.name)
    is_id = user_id.isascii() and user_id.isalnum()
    found = await Membership.get_or_none(team_id=team.id, user_id=user_id) if is_id else None
    if found is None:
        raise NotFound("nobody of that id is in the team", hint="see `helvetia teams members`")
    _may_touch(caller, team, found.role)
    return found


def _may_touch(caller: Caller, team: Team, role: Role) -> None:
    if role is Role.OWNER and not caller.may(Role.OWNER, team.id):
        raise Forbidden("only owners of the team make, change and remove owners")


async def _keep_an_owner(team: Team, member: Membership) -> None:
    if member.role is not Role.OWNER:
        return
    if await Membership.filter(team_id=team.id, role=Role.OWNER).count() == 1:
        raise Conflict("they are the last owner", hint="make somebody else owner first")
