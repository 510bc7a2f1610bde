"""The page behind an invitation: see what it is for, sign in, come into the team."""

from __future__ import annotations

from pathlib import Path

from aiohttp import web

from helvetia.kernel.errors import Unauthenticated
from helvetia.kernel.http import cookies
from helvetia.kernel.http.access import CALLER
from helvetia.plugins.auth.common import pages

from . import invitations

_FOLDER = Path(__file__).parent / "templates"


async def show(request: web.Request) -> web.Response:
    """Show an invitation; who is not signed in keeps it and signs in first."""
    clear = request.query.get("invitation") or cookies.cookie(request, invitations.COOKIE)
    found = await invitations.find(clear) if clear.isascii() else None
    if found is None:
        return pages.render(_FOLDER, "void_invitation.html", status=410)
    caller = request.get(CALLER)
    response = pages.render(
        _FOLDER,
        "join.html",
        team=found.team.name,
        role=found.role.value,
        name=caller.user.name if caller else "",
        csrf=caller.csrf if caller else "",
        path=invitations.PATH,
    )
    # In a cookie rather than in the addresses of the sign-in, which others may see.
    cookies.give(request, response, invitations.COOKIE, clear)
    return response


async def join(request: web.Request) -> web.Response:
    """Come into the team.

    Raises:
        Unauthenticated: nobody is signed in.
        NotFound: the invitation was used already.
    """
    caller = request.get(CALLER)
    if caller is None:
        raise Unauthenticated("nobody is signed in")
    found = await invitations.claim(cookies.use_up(request, invitations.COOKIE))
    await invitations.take_in(found, caller.user)
    return web.Response(status=303, headers={"Location": "/"})
