"""What surrounds every request: an id, observers, and errors."""

from __future__ import annotations

import asyncio
import secrets
import time

from aiohttp import web
from aiohttp.typedefs import Handler
from aiohttp.web_exceptions import HTTPError

from helvetia.kernel.events import ORIGIN, Origin

from .access import CALLER, SAFE
from .context import CONTEXT, REQUEST_ID
from .origin import client_address
from .problems import respond


@web.middleware
async def identified(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Give the request an id, by which its errors and the entries of the journal are found."""
    request[REQUEST_ID] = secrets.token_hex(8)
    origin = Origin(
        address=client_address(request)[:64],
        request_id=request[REQUEST_ID],
        actor=lambda: request[CALLER].user.id if CALLER in request else "",
    )
    token = ORIGIN.set(origin)
    try:
        return await handler(request)
    finally:
        ORIGIN.reset(token)


@web.middleware
async def observed(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Tell the observers of the request and the time it took."""
    began = time.perf_counter()
    response: web.StreamResponse | None = None
    try:
        response = await handler(request)
        return response
    finally:
        resource = request.match_info.route.resource
        route = resource.canonical if resource else "none"
        is_socket = isinstance(response, web.WebSocketResponse)
        method = request.method if resource else "any"
        # 499: the client went away, or the platform ends.
        status = response.status if response else 499
        seconds = None if is_socket else time.perf_counter() - began
        for observe in request.app[CONTEXT].observers:
            observe(method, route, status, seconds)


@web.middleware
async def followed_up(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Have looked at once at what the request has changed."""
    try:
        response = await handler(request)
    except (web.HTTPSuccessful, web.HTTPRedirection):
        _wake(request)
        raise
    if response.status < 400:
        _wake(request)
    return response


def _wake(request: web.Request) -> None:
    if request.method not in SAFE:
        request.app[CONTEXT].wake()


@web.middleware
async def told(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn what was raised into an answer."""
    try:
        return await handler(request)
    except HTTPError as error:
        return respond(request, error)
    except (web.HTTPException, asyncio.CancelledError):
        # Redirects and the like.
        raise
    except Exception as error:
        return respond(request, error)
