"""The installation, and who is signed in to it."""

from __future__ import annotations

from aiohttp import web

from helvetia.kernel.http.access import Policy
from helvetia.kernel.http.context import Call
from helvetia.kernel.http.routing import Resource
from helvetia.kernel.models import Team
from helvetia.plugins.api import schemas
from helvetia.plugins.api.openapi import document
from helvetia.version import API_VERSION, __version__

resource = Resource("installation")


@resource.get("/api/v1", policy=Policy.SIGNED_IN, summary="Show the installation")
async def about(call: Call) -> schemas.About:
    """Show the installation."""
    host, port = call.platform.edge
    return schemas.About(
        version=__version__,
        api_version=API_VERSION,
        installation=call.platform.installation,
        domain=call.platform.domain,
        edge=f"[{host}]:{port}" if ":" in host else f"{host}:{port}",
    )


@resource.get("/api/v1/me", policy=Policy.SIGNED_IN, summary="Show who is signed in")
async def me(call: Call) -> schemas.Me:
    """Show who is signed in.

    `csrf_token` is there for browser sessions only; changes must carry it.
    """
    user = call.user
    team = await Team.get_or_none(id=await call.caller.home_team())
    return schemas.Me(
        id=user.id,
        name=user.name,
        email=user.email,
        is_operator=user.is_operator,
        team=team.name if team else "",
        csrf_token=call.caller.csrf,
    )


@resource.get("/openapi.json", policy=Policy.PUBLIC, summary="Show this document")
async def openapi(call: Call) -> web.Response:
    """Show this document."""
    context = call.context
    # Made when it is first asked for: what is mounted stays as it is.
    context.document = context.document or document(context.endpoints)
    return web.Response(body=context.document, content_type="application/json")
