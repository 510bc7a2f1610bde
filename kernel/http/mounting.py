"""Mount what plugins add: REST endpoints and pages, all behind the same choke point."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Iterable
from urllib.parse import quote

from aiohttp import web

from helvetia.kernel.contracts.guard import Guard
from helvetia.kernel.errors import NotFound, PluginError, Unauthenticated
from helvetia.kernel.hookspecs import Page
from helvetia.kernel.platform import Platform
from helvetia.kernel.plugins import PluginStatus

from .access import CALLER, SAFE, identify, require_csrf, require_everything
from .context import Context
from .guarding import pass_guards
from .origin import local_path
from .routing import Endpoint, Resource
from .serve import make_handler

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Names = set[tuple[str, str]]


def mount(app: web.Application, context: Context) -> None:
    """Add the endpoints of plugins, then their pages.

    A plugin whose endpoint or page cannot be added is put into quarantine.
    """
    platform, endpoints = context.platform, context.endpoints
    taken = _names(app.router.routes())
    context.guards += platform.plugins.collect("helvetia_guards", Guard, kernel=platform)
    for plugin, resource in platform.plugins.collect(
        "helvetia_resources", Resource, kernel=platform
    ):
        if resource.observer is not None:
            context.observers.append(resource.observer)
        for endpoint in resource.endpoints:
            handler = _unless_quarantined(platform, plugin, make_handler(endpoint))
            if _tried(app, platform, plugin, _route(endpoint, handler), taken):
                endpoints.append(endpoint)
    for plugin, page in platform.plugins.collect("helvetia_pages", Page, kernel=platform):
        handler = _unless_quarantined(platform, plugin, _guarded(platform, plugin, page))
        _tried(app, platform, plugin, web.RouteDef(page.method, page.path, handler, {}), taken)


def _route(endpoint: Endpoint, handler: Handler) -> web.RouteDef:
    # A WebSocket has no head to ask for.
    options = {"allow_head": False} if endpoint.websocket else {}
    return web.RouteDef(endpoint.method, endpoint.path, handler, options)


def _tried(
    app: web.Application, platform: Platform, plugin: str, route: web.RouteDef, taken: Names
) -> bool:
    try:
        # aiohttp compares with the last resource only: a taken path would be shadowed.
        if (route.method, route.path) in taken:
            raise ValueError("the path is taken")
        taken |= _names(route.register(app.router))
    except (RuntimeError, ValueError, TypeError) as error:
        platform.plugins.quarantine(plugin, f"{route.method} {route.path}: {error}")
        return False
    return True


def _names(routes: Iterable[web.AbstractRoute]) -> Names:
    return {(route.method, route.resource.canonical) for route in routes if route.resource}


def _unless_quarantined(platform: Platform, plugin: str, handler: Handler) -> Handler:
    async def handle(request: web.Request) -> web.StreamResponse:
        # Quarantine may come after the mounting.
        known = platform.plugins.get(plugin)
        if known is not None and known.status is not PluginStatus.ACTIVE:
            raise NotFound("there is nothing at this address")
        return await handler(request)

    return handle


def _guarded(platform: Platform, plugin: str, page: Page) -> Handler:
    async def handle(request: web.Request) -> web.StreamResponse:
        await pass_guards(request, "page")
        try:
            caller = await identify(request)
        except Unauthenticated:
            # The header may be a credential that only the page understands.
            if not page.public:
                raise
            caller = None
        if caller is not None:
            await require_csrf(request, caller)
            if request.method not in SAFE:
                require_everything(caller)
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
    if request.method != "GET" or not is_person or not platform.providers.auth.all():
        raise Unauthenticated("nobody is signed in", hint="sign in first")
    target = quote(local_path(request.rel_url.raw_path_qs), safe="/")
    return web.Response(
        status=303,
        headers={
            "Location": f"/auth?next={target}",
            "Cache-Control": "no-store",
        },
    )
