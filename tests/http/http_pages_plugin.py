"""A plugin with pages: one for everybody, one for people, one that is broken."""

from __future__ import annotations

from collections.abc import Iterable

from aiohttp import web

from helvetia import Page, hookimpl
from helvetia.kernel.http.access import CALLER

helvetia_api = 1


async def private(request: web.Request) -> web.Response:
    return web.Response(text=f"hello {request[CALLER].user.name}", content_type="text/html")


async def public(request: web.Request) -> web.Response:
    return web.Response(text=await request.text())


def broken(request: web.Request) -> str:
    return "no response"


async def crash(request: web.Request) -> web.Response:
    raise RuntimeError("a secret of the page")


@hookimpl
def helvetia_pages() -> Iterable[Page]:
    yield Page(method="GET", path="/desk", handler=private)
    yield Page(method="POST", path="/desk", handler=private)
    yield Page(method="POST", path="/hook", handler=public, public=True)
    yield Page(method="GET", path="/broken", handler=broken, public=True)
    yield Page(method="GET", path="/crash", handler=crash, public=True)
