"""The application: what plugins mount, and the middleware around it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

from aiohttp import WSCloseCode, web

from helvetia.kernel.platform import Platform

from .context import CONTEXT, Context, Ring
from .headers import add_headers
from .middleware import followed_up, identified, observed, told
from .mounting import mount

MAX_BODY_BYTES = 1024 * 1024
IDLE_SECONDS = 60.0
LINGER_SECONDS = 5.0
_GOODBYE_SECONDS = 0.7


def make_app(
    platform: Platform, ring: Ring, wake: Callable[[], None] = lambda: None
) -> web.Application:
    """Make the application of a control plane.

    Serve it with `make_runner`.

    Args:
        platform: opened already.
        ring: the doorbell for a deployment id.
        wake: has looked at once at what a request has changed; by default others find it.
    """
    middlewares = [identified, observed, told, followed_up]
    app = web.Application(middlewares=middlewares, client_max_size=MAX_BODY_BYTES)
    context = app[CONTEXT] = Context(platform=platform, ring=ring, wake=wake)
    mount(app, context)
    app.on_response_prepare.append(add_headers)
    app.on_shutdown.append(_close_sockets)
    return app


def make_runner(app: web.Application) -> web.AppRunner:
    """Return the runner that serves the application.

    Bodies are not unpacked (a small one can unpack to a very large one), and requests that
    are under way get a second at the end. A connection that has not sent all headers of its
    next request within a minute is closed, however slowly they drip in.
    """
    return web.AppRunner(
        app,
        auto_decompress=False,
        keepalive_timeout=IDLE_SECONDS,
        lingering_time=LINGER_SECONDS,
        shutdown_timeout=1.0,
        access_log=None,
    )


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
