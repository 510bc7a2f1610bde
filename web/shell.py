"""A terminal at a command that runs in a copy of a release, for whoever may run one."""

from __future__ import annotations

from aiohttp import web

from helvetia.kernel.errors import Forbidden, NotFound

from .filters import first_line
from .service_page import frame, load
from .visit import Visit

PATH = "/api/v1/services/{service}/shell"


async def show(visit: Visit) -> web.Response:
    """Show the terminal, and what else runs a command."""
    service = await load(visit)
    if not visit.has("GET", PATH):
        raise NotFound("no plugin here offers this", hint="see the page of plugins")
    if not visit.may("GET", PATH, service.team_id):
        raise Forbidden("you may run no commands in this service", hint="ask an admin of its team")
    path = "/api/v1/services/{service}/releases"
    found = await visit.ask("GET", path, service=service, query={"limit": 50})
    choices = [
        (str(one.number), _told(one.number, one.is_live, one.message)) for one in found.items
    ]
    live = next((str(one.number) for one in found.items if one.is_live), "")
    return await frame(
        visit, service, "service_shell.html", "shell",
        is_live=False, choices=choices, chosen=live, address=PATH.format(service=service.name),
    )  # fmt: skip


def _told(number: int, is_live: bool, message: str) -> str:
    about = first_line(message)
    return f"r{number}{', live' if is_live else ''}{': ' + about[:60] if about else ''}"
