"""The cookies of the kernel."""

from __future__ import annotations

from aiohttp import web

from helvetia.kernel.accounts import SESSION_LIFETIME

from .origin import is_https

_SESSION = "helvetia_session"
_NEXT = "helvetia_next"
_NEXT_SECONDS = 600


def session_cookie(request: web.Request) -> str:
    """Return the name of the session cookie.

    Over TLS it has the prefix that keeps other hosts of the domain from setting it.
    """
    return f"__Host-{_SESSION}" if is_https(request) else _SESSION


def session_value(request: web.Request) -> str | None:
    """Return the session cookie's value, None if there is none."""
    value = request.cookies.get(session_cookie(request))
    return value if value and value.isascii() else None


def set_session(request: web.Request, response: web.StreamResponse, value: str) -> None:
    """Give the browser its session."""
    response.set_cookie(
        session_cookie(request),
        value,
        max_age=int(SESSION_LIFETIME.total_seconds()),
        path="/",
        httponly=True,
        samesite="Lax",
        secure=is_https(request),
    )


def forget_session(request: web.Request, response: web.StreamResponse) -> None:
    """Take the session from the browser."""
    response.del_cookie(
        session_cookie(request), path="/", httponly=True, samesite="Lax", secure=is_https(request)
    )


def keep_next(request: web.Request, response: web.StreamResponse, path: str) -> None:
    """Remember where to go after the sign-in, which may lead over other sites.

    `/` is where it goes anyway; it only makes an earlier place forgotten.
    """
    if path == "/":
        if _NEXT in request.cookies:
            forget_next(response)
        return
    response.set_cookie(
        _NEXT,
        path,
        max_age=_NEXT_SECONDS,
        path="/auth",
        httponly=True,
        samesite="Lax",
        secure=is_https(request),
    )


def kept_next(request: web.Request) -> str | None:
    """Return what `keep_next` remembered."""
    return request.cookies.get(_NEXT)


def forget_next(response: web.StreamResponse) -> None:
    """Forget what `keep_next` remembered."""
    response.del_cookie(_NEXT, path="/auth")
