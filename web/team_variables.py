"""Variables that all services of a team get: written here, never read back."""

from __future__ import annotations

from collections.abc import Mapping

from aiohttp import web

from .acts import Question, confirmed, question
from .changes import refusal_of_variables, wanted_variables
from .said import redirect
from .team import NAV, VARIABLES, find, frame
from .visit import REFUSALS, Refusal, Visit


async def index(visit: Visit) -> web.Response:
    """Show their names, and the form that sets them."""
    return await _show(visit)


async def change(visit: Visit) -> web.StreamResponse:
    """Set one variable, or many of lines."""
    name, form = visit.part("team"), await visit.form()
    try:
        await visit.ask("PATCH", VARIABLES, team=name, body=wanted_variables(form))
    except REFUSALS as error:
        return await _show(visit, refusal_of_variables(visit, error, form), form)
    raise redirect(f"/team/{name}/variables", "team-variables")


async def ask_unset(visit: Visit) -> web.Response:
    """Ask whether to remove one."""
    _, team = await find(visit, visit.part("team"))
    return question(visit, _unsetting(team.name, visit.request.query.get("name", "")), nav=NAV)


async def unset(visit: Visit) -> web.StreamResponse:
    """Remove one."""
    team, name = visit.part("team"), (await visit.form()).get("name", "")
    return await confirmed(
        visit, _unsetting(team, name),
        lambda: visit.ask("PATCH", VARIABLES, team=team, body={"unset": [name]}),
        to=f"/team/{team}/variables", said="team-variables", nav=NAV,
    )  # fmt: skip


async def _show(
    visit: Visit, refusal: Refusal | None = None, typed: Mapping[str, str] | None = None
) -> web.Response:
    teams, team = await find(visit, visit.part("team"))
    found = await visit.ask("GET", VARIABLES, team=team.name, query={"limit": 100})
    return frame(
        visit, teams, team, "team_variables.html", "variables",
        refusal=refusal, typed=typed, variables=found.items,
    )  # fmt: skip


def _unsetting(team: str, name: str) -> Question:
    path = f"/team/{team}/variables"
    lines = (
        f"No service of {team} gets it from the team any more; what a service sets itself stays.",
        "What runs goes on with it until the next deployment or restart.",
    )
    return Question(title=f"Remove the variable {name}?", lines=lines, label="Remove it",
                    action=f"{path}/unset", back=path, fields={"name": name})  # fmt: skip
