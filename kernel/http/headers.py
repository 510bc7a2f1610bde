"""What every answer tells a browser that it must not do."""

from __future__ import annotations

from aiohttp import web

from .context import REQUEST_ID
from .cookies import settle
from .guarding import GUARD_HEADERS
from .origin import is_https

_API_POLICY = "default-src 'none'; frame-ancestors 'none'"
_PAGE_POLICY = (
    "default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'self';"
    " frame-ancestors 'none'"
)
_ALWAYS = {
    "Server": "helvetia", "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Resource-Policy": "same-origin",
}  # fmt: skip


async def add_headers(request: web.Request, response: web.StreamResponse) -> None:
    """Tell browsers what they must not do with an answer; a page's own headers stay."""
    headers = response.headers
    headers.update(_ALWAYS)
    headers.setdefault("X-Frame-Options", "DENY")
    # Not `no-referrer`: with it browsers send `Origin: null` from our own forms.
    headers.setdefault("Referrer-Policy", "same-origin")
    is_api = response.content_type != "text/html"
    headers.setdefault("Content-Security-Policy", _API_POLICY if is_api else _PAGE_POLICY)
    if is_api:
        headers.setdefault("Cache-Control", "no-store")
    if is_https(request):
        headers.setdefault("Strict-Transport-Security", "max-age=31536000")
    headers.update(request.get(GUARD_HEADERS, {}))
    settle(request, response)
    if REQUEST_ID in request:
        headers["X-Request-Id"] = request[REQUEST_ID]
