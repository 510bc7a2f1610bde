"""The page of plugins."""

from __future__ import annotations

from aiohttp import web

from helvetia.plugins.api.pagination import PageQuery
from helvetia.plugins.api.resources import plugins

from .visit import Visit


async def index(visit: Visit) -> web.Response:
    """List the installed plugins."""
    query = PageQuery(limit=100, cursor=visit.request.query.get("cursor"))
    found = await plugins.index(visit.call, query)
    return visit.show(
        "plugins.html", nav="plugins", live=False, plugins=found.items, more=found.next
    )
