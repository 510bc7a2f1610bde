"""The pages that plugins add: mounted behind the same choke point as the API."""

from __future__ import annotations

import inspect
from urllib.parse import quote

from aiohttp import web
from aiohttp.typedefs import Handler

from helvetia.kernel.errors import NotFound, PluginError, Unauthenticated
from helvetia.kernel.hookspecs import Page
from helvetia.kernel.platform import Platform
from helvetia.kernel.plugins import PluginStatus

from .access import CALLER, identify, require_csrf
from .origin import local_path


def mount(app: web.Application, platform: Platform) -> None:
    """Add the pages of all plugins; one that cannot be added puts its plugin into quarantine."""
    taken = {(r.method, r.resource.canonical) for r in app.router.routes() if r.resource}
    for plugin, page in platform.plugins.collect("helvetia_pages", Page, kernel=platform):
        handler = _guarded(platform, plugin, page)
        try:
            # aiohttp compares with the last resource only: a taken path would be shadowed.
            if (page.method, page.path) in taken:
                raise ValueError("the path is taken")
            taken.add((page.method, page.path))
            if page.method == "GET":
                app.router.add_get(page.path, handler)
            else:
                app.router.add_route(page.method, page.path, handler)
        except (RuntimeError, ValueError, TypeError) as error:
            platform.plugins.quarantine(plugin, f"page {page.method} {page.path}: {error}")


def _guarded(platform: Platform, plugin: str, page: Page) -> Handler:
    async def handle(request: web.Request) -> web.StreamResponse:
        # Quarantine may come after the mounting.
        known = platform.plugins.get(plugin)
        if known is not None and known.status is not PluginStatus.ACTIVE:
            raise NotFound("there is nothing at this address")
        try:
            caller = await identify(request)
        except Unauthenticated:
            # The header may be a credential that only the page understands.
            if not page.public:
                raise
            caller = None
        if caller is not None:
            await require_csrf(request, caller)
            request[CALLER] = caller
        elif not page.public:
            return _to_sign_in(request, platform)
        answer = page.handler(request)
        if inspect.isawaitable(answer):
            answer = await answer
        if not isinstance(answer, web.StreamResponse):
            raise PluginError(plugin, f"the page {page.path} answered {type(answer).__name__}")
        return answer

    return handle


def _to_sign_in(request: web.Request, platform: Platform) -> web.Response:
    """Lead a person who opens a page to the sign-in and back.

    Raises:
        Unauthenticated: it is a program that asks, or there is no way to sign in.
    """
    mode = request.headers.get("Sec-Fetch-Mode")
    accepts_page = "text/html" in request.headers.get("Accept", "")
    is_person = mode == "navigate" if mode else accepts_page
    providers = platform.providers.auth.all()
    if request.method != "GET" or not is_person or not providers:
        raise Unauthenticated("nobody is signed in", hint="sign in first")
    target = quote(local_path(request.rel_url.raw_path_qs), safe="/")
    return web.Response(
        status=303,
        headers={
            "Location": f"/auth/{providers[0].name}?next={target}",
            "Cache-Control": "no-store",
        },
    )
