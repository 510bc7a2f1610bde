"""The application: resources, pages of plugins, and the middleware around them."""

from __future__ import annotations

import asyncio
import contextlib

from aiohttp import WSCloseCode, web

from helvetia.kernel.platform import Platform

from . import pages
from .context import CONTEXT, Context, Ring
from .middleware import add_headers, counted, identified, told
from .openapi import document
from .resources import RESOURCES
from .routing import Endpoint
from .serve import make_handler

MAX_BODY_BYTES = 1024 * 1024
_GOODBYE_SECONDS = 0.7


def endpoints() -> list[Endpoint]:
    """Return every endpoint of the kernel."""
    return [endpoint for resource in RESOURCES for endpoint in resource.endpoints]


def make_app(platform: Platform, ring: Ring) -> web.Application:
    """Make the application of a control plane.

    Serve it with `make_runner`.

    Args:
        platform: opened already.
        ring: the doorbell for a deployment id.
    """
    app = web.Application(middlewares=[identified, counted, told], client_max_size=MAX_BODY_BYTES)
    app[CONTEXT] = Context(platform=platform, ring=ring, document=document(endpoints()))
    for endpoint in endpoints():
        handler = make_handler(endpoint)
        if endpoint.method == "GET":
            app.router.add_get(endpoint.path, handler, allow_head=not endpoint.websocket)
        else:
            app.router.add_route(endpoint.method, endpoint.path, handler)
    pages.mount(app, platform)
    app.on_response_prepare.append(add_headers)
    app.on_shutdown.append(_close_sockets)
    return app


def make_runner(app: web.Application) -> web.AppRunner:
    """Return the runner that serves the application.

    Bodies are not unpacked (a small one can unpack to a very large one), and requests that
    are under way get a second at the end.
    """
    return web.AppRunner(app, auto_decompress=False, shutdown_timeout=1.0, access_log=None)


async def _close_sockets(app: web.Application) -> None:
    """Say goodbye on every WebSocket; who does not answer is cut off."""
    sockets = list(app[CONTEXT].sockets)
    goodbyes = [
        asyncio.create_task(socket.close(code=WSCloseCode.GOING_AWAY, message=b"the platform ends"))
        for socket in sockets
    ]
    if not goodbyes:
        return
    _, late = await asyncio.wait(goodbyes, timeout=_GOODBYE_SECONDS)
    for task in late:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
