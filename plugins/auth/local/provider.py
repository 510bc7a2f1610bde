"""Signs people in by user name and password."""

from __future__ import annotations

import math
import re

from aiohttp import web

from helvetia import INVITED, AuthProvider, Identity, client_address

from . import links
from .models import OneTimeLink, Password, Purpose, utcnow
from .pages import render, safe_next
from .passwords import MIN_LENGTH, Hasher, fold, normalise, weakness
from .throttle import Throttle

_LONGEST_NAME = 64
_NAME = re.compile(r"\w[\w.@+-]*")
_WRONG = "The user name or the password is not right."
_ATTEMPTS, _WINDOW_SECONDS = 10, 60.0


class LocalAuth(AuthProvider):
    """User names and passwords kept by this installation.

    The first account is made by a one-time link that is shown where the platform was started.
    """

    name = "local"
    title = "Password"

    def __init__(self, hasher: Hasher | None = None, throttle: Throttle | None = None) -> None:
        self._hasher = hasher or Hasher()
        self._throttle = throttle or Throttle(_ATTEMPTS, _WINDOW_SECONDS)

    async def first_run(self) -> str | None:
        """Return a fresh link; the one of an earlier start is void."""
        return await links.issue(Purpose.FIRST_RUN)

    async def begin(self, request: web.Request) -> web.StreamResponse:
        """Show the sign-in form, or with a link the form that sets a password."""
        target = safe_next(request.query.get("next", "/"))
        token = request.query.get("link")
        invited = request.get(INVITED, False)
        if invited and (request.method == "POST" or "new" in request.query):
            token = (await links.issue(Purpose.INVITE)).partition("link=")[2]
        if token is None:
            return _sign_in_form(target, invited=invited)
        link = await links.find(token)
        return await _link_form(link, token, target) if link else _void_link()

    async def complete(self, request: web.Request) -> Identity | web.StreamResponse:
        """Check a password, or set the one of a link's bearer."""
        if request.method != "POST":
            raise web.HTTPSeeOther("/auth/local")
        form = {key: value for key, value in (await request.post()).items() if type(value) is str}
        if "link" in form:
            return await self._set_password(form)
        return await self._sign_in(form, client_address(request))

    async def _sign_in(self, form: dict[str, str], address: str) -> Identity | web.StreamResponse:
        name, target = form.get("name", "").strip()[:200], safe_next(form.get("next", "/"))
        key = (fold(name), address)
        if wait := self._throttle.attempt(key):
            page = _sign_in_form(
                target,
                name=name,
                status=429,
                problem="Too many attempts. Wait a minute, then try again.",
            )
            page.headers["Retry-After"] = str(math.ceil(wait))
            return page
        known = await Password.get_or_none(login=fold(name))
        password = form.get("password", "")[: 2 * 1024]
        if not await self._hasher.verify(known.hash if known else None, password) or not known:
            return _sign_in_form(target, name=name, status=401, problem=_WRONG)
        self._throttle.forgive(key)
        if self._hasher.is_outdated(known.hash):
            fresh = await self._hasher.hash(password)
            # Not if it was changed meanwhile: the old password must not come back.
            await Password.filter(id=known.id, hash=known.hash).update(hash=fresh)
        return Identity(subject=known.subject, name=known.name, may_found=True)

    async def _set_password(self, form: dict[str, str]) -> Identity | web.StreamResponse:
        token, target = form["link"], safe_next(form.get("next", "/"))
        link = await links.find(token)
        if link is None:
            return _void_link()
        name = await _name_of(link) or normalise(form.get("name", "")).strip()
        password = form.get("password", "")
        if problem := _problem(name, password, form.get("again", "")):
            return await _link_form(link, token, target, name=name, status=422, problem=problem)
        hashed = await self._hasher.hash(password)
        try:
            person = await links.use(link, name=name, hashed=hashed)
        except links.LinkUsed:
            return _void_link()
        except links.NameTaken:
            problem = "Somebody has this user name already. Choose another."
            return await _link_form(link, token, target, name=name, status=409, problem=problem)
        is_new = link.purpose is not Purpose.RESET
        # Every password came by a link of this machine, or of somebody who is in already.
        return Identity(
            subject=person.subject,
            name=person.name,
            may_register=is_new,
            may_found=True,
            is_renewed=not is_new,
        )


def _problem(name: str, password: str, again: str) -> str:
    if not _NAME.fullmatch(name) or len(fold(name)) > _LONGEST_NAME:
        return "A user name has letters, digits and . @ + - _, at most 64 of them."
    if problem := weakness(password, name):
        return problem
    return "" if password == again else "The two passwords are not the same."


async def _name_of(link: OneTimeLink) -> str:
    """Return the name of the person a link was made for, if it was made for one."""
    person = await Password.get_or_none(subject=link.subject) if link.subject else None
    return person.name if person else ""


def _sign_in_form(
    target: str, *, name: str = "", status: int = 200, problem: str = "", invited: bool = False
) -> web.Response:
    return render(
        "sign_in.html", status=status, next=target, name=name, problem=problem, invited=invited
    )


async def _link_form(
    link: OneTimeLink,
    token: str,
    target: str,
    *,
    name: str = "",
    status: int = 200,
    problem: str = "",
) -> web.Response:
    fixed = await _name_of(link)
    return render(
        "set_password.html",
        status=status,
        purpose=link.purpose.value,
        minutes=max(1, int((link.expires_at - utcnow()).total_seconds() / 60)),
        link=token,
        next=target,
        name=fixed or name,
        is_fixed=bool(fixed),
        least=MIN_LENGTH,
        problem=problem,
    )


def _void_link() -> web.Response:
    return render("void_link.html", status=410)
