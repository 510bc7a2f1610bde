"""The cookies of the kernel."""

from __future__ import annotations

from datetime import timedelta

from aiohttp import web

from helvetia.sessions import ACCESS_LIFETIME, IDLE_LIFETIME, Pass

from .origin import is_https

RENEWED: web.RequestKey[Pass] = web.RequestKey("helvetia.renewed", Pass)
"""What the browser is given with the answer, because its access token had run out."""
_USED: web.RequestKey[set[str]] = web.RequestKey("helvetia.used_cookies", set)
_ACCESS, _REFRESH = "helvetia_session", "helvetia_refresh"
_MOMENT = timedelta(minutes=10)


def named(request: web.Request, name: str) -> str:
    """Return the name of a cookie.

    Over TLS it has the prefix that keeps other hosts of the domain from setting it.
    """
    return f"__Host-{name}" if is_https(request) else name


def cookie(request: web.Request, name: str) -> str:
    """Return the value of one of our cookies, "" if there is none."""
    value = request.cookies.get(named(request, name), "")
    return value if value.isascii() else ""


def give(
    request: web.Request,
    response: web.StreamResponse,
    name: str,
    value: str,
    lifetime: timedelta = _MOMENT,
) -> None:
    """Give the browser a cookie that no script reads and no other site sends along."""
    response.set_cookie(
        named(request, name),
        value,
        max_age=int(lifetime.total_seconds()),
        path="/",
        httponly=True,
        samesite="Lax",
        secure=is_https(request),
    )


def forget(request: web.Request, response: web.StreamResponse, name: str) -> None:
    """Take a cookie from the browser."""
    response.del_cookie(
        named(request, name), path="/", httponly=True, samesite="Lax", secure=is_https(request)
    )


def use_up(request: web.Request, name: str) -> str:
    """Return the value of a cookie that is good for once; it is taken with whatever is answered."""
    request[_USED] = {*request.get(_USED, ()), name}
    return cookie(request, name)


def settle(request: web.Request, response: web.StreamResponse) -> None:
    """Add to an answer what its request has left: a session that was renewed, what was used up."""
    if _USED not in request and RENEWED not in request:
        return
    # The headers are made already: cookies of the response itself would come too late.
    more = web.Response()
    for name in request.get(_USED, ()):
        forget(request, more, name)
    # What many may keep carries nobody's session; the browser is given it with the next answer.
    if RENEWED in request and "public" not in response.headers.get("Cache-Control", ""):
        set_session(request, more, request[RENEWED])
    for morsel in more.cookies.values():
        response.headers.add("Set-Cookie", morsel.OutputString())


def access_value(request: web.Request) -> str:
    """Return the access token of the browser's session, "" if there is none."""
    return cookie(request, _ACCESS)


def refresh_value(request: web.Request) -> str:
    """Return the refresh token of the browser's session, "" if there is none."""
    return cookie(request, _REFRESH)


def set_session(request: web.Request, response: web.StreamResponse, given: Pass) -> None:
    """Give the browser its session."""
    give(request, response, _ACCESS, given.access, ACCESS_LIFETIME)
    give(request, response, _REFRESH, given.refresh, IDLE_LIFETIME)


def forget_session(request: web.Request, response: web.StreamResponse) -> None:
    """Take the session from the browser."""
    if RENEWED in request:
        del request[RENEWED]
    forget(request, response, _ACCESS)
    forget(request, response, _REFRESH)
