"""Teams: who is in them, and who is asked to come."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aiohttp import web

from helvetia.kernel.errors import NotFound
from helvetia.kernel.models import Role

from .acts import Question, question
from .said import redirect
from .visit import REFUSALS, Refusal, Visit

_TEAMS = "/api/v1/teams"
_MEMBERS = f"{_TEAMS}/{{team}}/members"
_INVITATIONS = f"{_TEAMS}/{{team}}/invitations"
_NAV = "team"
ROLES = (
    ("viewer", "viewer: looks"),
    ("member", "member: deploys"),
    ("admin", "admin: changes variables and domains"),
    ("owner", "owner: has the team"),
)


async def begin(visit: Visit) -> web.Response:
    """Show the first team."""
    return await _show(visit, "")


async def show(visit: Visit) -> web.Response:
    """Show a team."""
    return await _show(visit, visit.part("team"))


async def create(visit: Visit) -> web.StreamResponse:
    """Make a team."""
    form = await visit.form()
    try:
        made = await visit.ask("POST", _TEAMS, body={"name": form.get("name", "").strip()})
    except REFUSALS as error:
        return await _show(visit, "", refusal=visit.refusal(error), typed=form)
    raise redirect(f"/team/{made.name}", "member")


async def invite(visit: Visit) -> web.StreamResponse:
    """Make a link for somebody, and show it this once."""
    name = visit.part("team")
    body = {"role": (await visit.form()).get("role", "member")}
    try:
        made = await visit.ask("POST", _INVITATIONS, team=name, body=body)
    except REFUSALS as error:
        return await _show(visit, name, refusal=visit.refusal(error))
    return await _show(visit, name, made=made)


async def change(visit: Visit) -> web.StreamResponse:
    """Give a member another role."""
    name, body = visit.part("team"), {"role": (await visit.form()).get("role", "")}
    path = f"{_MEMBERS}/{{user}}"
    try:
        await visit.ask("PATCH", path, team=name, user=visit.part("user"), body=body)
    except REFUSALS as error:
        return await _show(visit, name, refusal=visit.refusal(error))
    raise redirect(f"/team/{name}", "member")


async def ask_remove(visit: Visit) -> web.Response:
    """Ask whether to take somebody out of a team."""
    name, user = visit.part("team"), visit.part("user")
    found = await visit.ask("GET", _MEMBERS, team=name, query={"limit": 100})
    member = next((one for one in found.items if one.id == user), None)
    if member is None:
        raise NotFound("there is no such member")
    lines = (f"{member.name} sees nothing of the team any more, from the next request on.",)
    asked = Question(title=f"Remove {member.name} from {name}?", lines=lines, label="Remove",
                     action=f"/team/{name}/members/{user}/remove",
                     back=f"/team/{name}")  # fmt: skip
    return question(visit, asked, nav=_NAV)


async def remove(visit: Visit) -> web.StreamResponse:
    """Take somebody out of a team."""
    name, path = visit.part("team"), f"{_MEMBERS}/{{user}}"
    try:
        await visit.ask("DELETE", path, team=name, user=visit.part("user"))
    except REFUSALS as error:
        return await _show(visit, name, refusal=visit.refusal(error))
    raise redirect(f"/team/{name}", "member")


async def withdraw(visit: Visit) -> web.StreamResponse:
    """Make an invitation worthless."""
    name, path = visit.part("team"), f"{_INVITATIONS}/{{invitation}}"
    await visit.ask("DELETE", path, team=name, invitation=visit.part("invitation"))
    raise redirect(f"/team/{name}", "member")


async def _show(
    visit: Visit,
    name: str,
    *,
    made: Any = None,
    refusal: Refusal | None = None,
    typed: Mapping[str, str] | None = None,
) -> web.Response:
    teams = (await visit.ask("GET", _TEAMS, query={"limit": 100})).items
    team = next((one for one in teams if one.name == name or not name), None)
    if name and team is None:
        raise NotFound(f"there is no team {name}")
    members: list[Any] = []
    invitations: list[Any] = []
    may_administer = team is not None and visit.caller.may(Role.ADMIN, team.id)
    if team is not None:
        query = {"limit": 100}
        members = (await visit.ask("GET", _MEMBERS, team=team.name, query=query)).items
        if may_administer:
            found = await visit.ask("GET", _INVITATIONS, team=team.name, query=query)
            invitations = found.items
    return visit.show(
        "team.html",
        nav=_NAV,
        status=refusal.status if refusal else 200,
        refusal=refusal,
        errors=refusal.fields if refusal else {},
        typed=typed or {},
        teams=teams,
        team=team,
        members=members,
        invitations=invitations,
        may_administer=may_administer,
        roles=ROLES,
        made=made,
    )
