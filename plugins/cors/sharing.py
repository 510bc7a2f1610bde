"""What browsers must be told before they let a page of another origin see an answer."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from aiohttp import web

from helvetia import Guard

_ALLOWED = {
    "Access-Control-Allow-Methods": "GET, HEAD, POST, PATCH, DELETE",
    "Access-Control-Allow-Headers": "Authorization, Content-Type, Idempotency-Key, If-None-Match",
    "Access-Control-Expose-Headers": "ETag, RateLimit, Retry-After, X-Request-Id",
    "Vary": "Authorization, Cookie, Origin",
}


class Sharing(Guard):
    """Admits everybody, and lets the origins that an operator named see the answer.

    Nothing says that cookies may go along: only who has a token gets in from elsewhere.
    """

    def __init__(self, origins: Iterable[str]) -> None:
        self._origins = frozenset(origins)

    async def admit(self, request: web.Request, purpose: str) -> Mapping[str, str]:
        """Return the headers for the origin, if it is one of them."""
        origin = request.headers.get("Origin", "")
        if origin not in self._origins:
            return {}
        return {**_ALLOWED, "Access-Control-Allow-Origin": origin}


async def answer_preflight(request: web.Request) -> web.Response:
    """Answer nothing: what a browser asks for is in the headers, or is not."""
    return web.Response(status=204)
