"""Teams: who is in them, and who is asked to come."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aiohttp import web

from helvetia.kernel.accounts import OPERATOR_TEAM
from helvetia.kernel.errors import NotFound
from helvetia.kernel.models import Role

from .acts import Question, confirmed, question
from .once import show_once, shown_once
from .said import redirect
from .visit import REFUSALS, Refusal, Visit

_TEAMS = "/api/v1/teams"
_MEMBERS = f"{_TEAMS}/{{team}}/members"
_INVITATIONS = f"{_TEAMS}/{{team}}/invitations"
NAV = "team"
VARIABLES = f"{_TEAMS}/{{team}}/environment"
"""Where the variables of a team are."""
# Name, title, and the endpoint without which there is no such tab.
_TABS = (
    ("", "People", _MEMBERS),
    ("variables", "Variables", VARIABLES),
    ("notifications", "Notifications", f"{_TEAMS}/{{team}}/notifications"),
)
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
    """Show a team, and an invitation that was just made."""
    return await _show(visit, visit.part("team"), made=shown_once(visit).get("invitation", ""))


async def create(visit: Visit) -> web.StreamResponse:
    """Make a team."""
    form = await visit.form()
    try:
        made = await visit.ask("POST", _TEAMS, body={"name": form.get("name", "").strip()})
    except REFUSALS as error:
        return await _show(visit, "", refusal=visit.refusal(error), typed=form)
    raise redirect(f"/team/{made.name}", "member")


async def invite(visit: Visit) -> web.StreamResponse:
    """Make a link for somebody, which the page then shows once."""
    name = visit.part("team")
    body = {"role": (await visit.form()).get("role", "member")}
    try:
        made = await visit.ask("POST", _INVITATIONS, team=name, body=body)
    except REFUSALS as error:
        return await _show(visit, name, refusal=visit.refusal(error))
    raise show_once(visit, f"/team/{name}", invitation=made.url)


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
    return question(visit, asked, nav=NAV)


async def remove(visit: Visit) -> web.StreamResponse:
    """Take somebody out of a team."""
    name, path = visit.part("team"), f"{_MEMBERS}/{{user}}"
    try:
        await visit.ask("DELETE", path, team=name, user=visit.part("user"))
    except REFUSALS as error:
        return await _show(visit, name, refusal=visit.refusal(error))
    raise redirect(f"/team/{name}", "member")


async def ask_leave(visit: Visit) -> web.Response:
    """Ask whether to leave a team."""
    _, team = await find(visit, visit.part("team"))
    return question(visit, _leaving(team.name), nav=NAV)


async def leave(visit: Visit) -> web.StreamResponse:
    """Leave a team."""
    name = visit.part("team")
    path = "/api/v1/memberships/{membership}"
    return await confirmed(
        visit, _leaving(name), lambda: visit.ask("DELETE", path, membership=name),
        to="/team", said="left", nav=NAV,
    )  # fmt: skip


async def ask_delete(visit: Visit) -> web.Response:
    """Ask whether to delete a team."""
    _, team = await find(visit, visit.part("team"))
    return question(visit, _deleting(team.name), nav=NAV)


async def delete(visit: Visit) -> web.StreamResponse:
    """Delete a team for good."""
    name = visit.part("team")
    return await confirmed(
        visit, _deleting(name), lambda: visit.ask("DELETE", f"{_TEAMS}/{{team}}", team=name),
        to="/team", said="team-deleted", nav=NAV,
    )  # fmt: skip


def _leaving(name: str) -> Question:
    lines = (
        "You see nothing of it any more, from the next request on. Its services stay.",
        "Somebody who is in it can invite you again.",
    )
    return Question(title=f"Leave {name}?", lines=lines, label="Leave it",
                    action=f"/team/{name}/leave", back=f"/team/{name}")  # fmt: skip


def _deleting(name: str) -> Question:
    lines = (
        "It goes with its members, invitations, variables and notifications. For good.",
        "A team that has services is not deleted: delete them first.",
    )
    return Question(title=f"Delete the team {name}?", lines=lines, label="Delete for good",
                    action=f"/team/{name}/delete", back=f"/team/{name}", typed=name)  # fmt: skip


async def withdraw(visit: Visit) -> web.StreamResponse:
    """Make an invitation worthless."""
    name, path = visit.part("team"), f"{_INVITATIONS}/{{invitation}}"
    await visit.ask("DELETE", path, team=name, invitation=visit.part("invitation"))
    raise redirect(f"/team/{name}", "member")


async def find(visit: Visit, name: str) -> tuple[list[Any], Any]:
    """Return the visitor's teams, and the named one; "" is the first, None if there is none.

    Raises:
        NotFound: there is no team of this name.
    """
    teams = (await visit.ask("GET", _TEAMS, query={"limit": 100})).items
    team = next((one for one in teams if one.name == name or not name), None)
    if name and team is None:
        raise NotFound(f"there is no team {name}")
    return teams, team


def frame(
    visit: Visit,
    teams: list[Any],
    team: Any,
    template: str,
    tab: str,
    *,
    refusal: Refusal | None = None,
    typed: Mapping[str, str] | None = None,
    **values: Any,
) -> web.Response:
    """Answer with a page of a team: its head and tabs, and what was refused."""
    tabs = [(one, title) for one, title, needs in _TABS if team and visit.has("GET", needs)]
    return visit.show(
        template,
        nav=NAV,
        status=refusal.status if refusal else 200,
        refusal=refusal,
        errors=refusal.fields if refusal else {},
        typed=typed or {},
        teams=teams,
        team=team,
        tabs=tabs if len(tabs) > 1 else (),
        tab=tab,
        may_administer=_may_administer(visit, team),
        **values,
    )


def _may_administer(visit: Visit, team: Any) -> bool:
    return team is not None and visit.caller.may(Role.ADMIN, team.id)


async def _show(
    visit: Visit,
    name: str,
    *,
    made: str = "",
    refusal: Refusal | None = None,
    typed: Mapping[str, str] | None = None,
) -> web.Response:
    teams, team = await find(visit, name)
    members: list[Any] = []
    invitations: list[Any] = []
    if team is not None:
        query = {"limit": 100}
        members = (await visit.ask("GET", _MEMBERS, team=team.name, query=query)).items
        if _may_administer(visit, team):
            found = await visit.ask("GET", _INVITATIONS, team=team.name, query=query)
            invitations = found.items
    return frame(
        visit, teams, team, "team.html", "",
        refusal=refusal, typed=typed, members=members, invitations=invitations, roles=ROLES,
        made=made,
        is_of_installation=team is not None and team.name == OPERATOR_TEAM,
    )  # fmt: skip
