"""What surrounds every request: an id, counting, errors, and headers for browsers."""

from __future__ import annotations

import asyncio
import secrets
import time

from aiohttp import web
from aiohttp.typedefs import Handler
from aiohttp.web_exceptions import HTTPError

from .context import CONTEXT, REQUEST_ID
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
async def counted(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Count the request and the time it took."""
    began = time.perf_counter()
    response: web.StreamResponse | None = None
    try:
        response = await handler(request)
        return response
    finally:
        resource = request.match_info.route.resource
        route = resource.canonical if resource else "none"
        is_socket = isinstance(response, web.WebSocketResponse)
        # 499: the client went away, or the platform ends.
        request.app[CONTEXT].metrics.count_request(
            request.method if resource else "any",
            route,
            response.status if response else 499,
            None if is_socket else time.perf_counter() - began,
        )


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
    if REQUEST_ID in request:
        headers["X-Request-Id"] = request[REQUEST_ID]
