"""What surrounds every request: an id, observers, errors, and headers for browsers."""

from __future__ import annotations

import asyncio
import secrets
import time

from aiohttp import web
from aiohttp.typedefs import Handler
from aiohttp.web_exceptions import HTTPError

from .access import SAFE
from .context import CONTEXT, REQUEST_ID
from .guarding import GUARD_HEADERS
from .problems import respond

_API_POLICY = "default-src 'none'; frame-ancestors 'none'"
_PAGE_POLICY = (
    "default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'self';"
    " frame-ancestors 'none'"
)


@web.middleware
async def identified(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Give the request an id, by which its errors are found in the log."""
    request[REQUEST_ID] = secrets.token_hex(8)
    return await handler(request)


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


async def add_headers(request: web.Request, response: web.StreamResponse) -> None:
    """Tell browsers what they must not do with an answer; a page's own headers stay."""
    headers = response.headers
    headers["Server"] = "helvetia"
    headers["X-Content-Type-Options"] = "nosniff"
    headers.setdefault("X-Frame-Options", "DENY")
    # Not `no-referrer`: with it browsers send `Origin: null` from our own forms.
    headers.setdefault("Referrer-Policy", "same-origin")
    is_api = response.content_type != "text/html"
    headers.setdefault("Content-Security-Policy", _API_POLICY if is_api else _PAGE_POLICY)
    if is_api:
        headers.setdefault("Cache-Control", "no-store")
    headers.update(request.get(GUARD_HEADERS, {}))
    if REQUEST_ID in request:
        headers["X-Request-Id"] = request[REQUEST_ID]
