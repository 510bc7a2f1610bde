"""Where a request comes from: scheme, origin, and paths that stay here."""

from __future__ import annotations

import ipaddress
from functools import lru_cache

from aiohttp import web

from helvetia.kernel.errors import Forbidden

from .context import CONTEXT

_MAX_PATH = 2048
_ELSEWHERE = "the request comes from another site"


def is_https(request: web.Request) -> bool:
    """Tell whether the browser speaks TLS, to us or to a trusted proxy.

    A web page cannot make a browser send `X-Forwarded-Proto` in a request that we would serve.
    """
    forwarded = request.headers.get("X-Forwarded-Proto", "").lower()
    return request.secure or (forwarded == "https" and _is_proxy(request, request.remote))


def client_address(request: web.Request) -> str:
    """Return the address of whoever asks: the last one that no trusted proxy has.

    Each proxy adds the address it was asked from; what stands before the first stranger, or
    before something that is no address, anybody may have made up.
    """
    address = request.remote or ""
    hops = ",".join(request.headers.getall("X-Forwarded-For", [])).split(",")
    while hops and _is_proxy(request, address):
        if _address(hop := hops.pop().strip()) is None:
            break
        address = hop
    return address


def visitor(request: web.Request) -> dict[str, str]:
    """Return what a session's owner knows a request by."""
    browser = "".join(filter(str.isprintable, request.headers.get("User-Agent", "")))
    return {"address": client_address(request)[:64], "browser": browser[:300]}


def own_origin(request: web.Request) -> str:
    """Return the origin under which the browser knows us."""
    return f"{'https' if is_https(request) else 'http'}://{request.host}".lower()


def require_same_origin(request: web.Request) -> None:
    """Refuse what a browser sends on behalf of another site.

    Both headers are the browser's own; a page cannot set them. Programs send neither.

    Raises:
        Forbidden: it comes from elsewhere.
    """
    site = request.headers.get("Sec-Fetch-Site")
    if site is not None and site != "same-origin":
        raise Forbidden(_ELSEWHERE)
    origin = request.headers.get("Origin")
    # A page that sends no referrer has the origin `null`, but still says that the site is ours.
    if origin == "null" and site == "same-origin":
        return
    if origin is not None:
        require_own_origin(request)


def require_own_origin(request: web.Request) -> None:
    """Refuse an `Origin` that is not ours; for WebSockets, where it is all that browsers tell.

    Raises:
        Forbidden: it is another.
    """
    origin = request.headers.get("Origin")
    if origin is not None and origin.lower() != own_origin(request):
        raise Forbidden(_ELSEWHERE)


def local_path(value: object) -> str:
    """Return a path of this site as it stands in a `Location`; `/` for anything else."""
    if not isinstance(value, str) or not value.startswith("/") or value.startswith("//"):
        return "/"
    if "\\" in value or not value.isascii() or not value.isprintable() or " " in value:
        return "/"
    return value if len(value) <= _MAX_PATH else "/"


def _is_proxy(request: web.Request, text: str | None) -> bool:
    """Tell whether a proxy at this address is believed; those of this machine are."""
    address = _address(text)
    if address is None:
        return False
    context = request.app.get(CONTEXT)  # a plugin's own tests may have none
    networks = context.platform.options.proxy_networks if context else ()
    return address.is_loopback or any(address in network for network in networks)


@lru_cache(maxsize=1024)
def _address(text: str | None) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(text or "")
    except ValueError:
        return None
