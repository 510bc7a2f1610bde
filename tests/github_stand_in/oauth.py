"""The OAuth web flow of GitHub, as strict as its documentation.

PKCE is checked (S256 only), codes are for one use by one client and one address, errors of the
exchange come as 200, and tokens are revoked for good. The person at the browser agrees at once,
unless `denies` is set; who it is says `signed_in`.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from aiohttp import web

API = "/api/v3"
CODE_SECONDS = 600
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass
class Person:
    """Somebody with an account at GitHub."""

    id: int
    login: str
    emails: list[dict[str, Any]] = field(default_factory=list)
    organisations: list[str] = field(default_factory=list)


@dataclass
class Token:
    person: Person
    scopes: tuple[str, ...]


@dataclass
class Code:
    person: Person
    redirect: str
    challenge: str
    scopes: tuple[str, ...]
    until: float


@dataclass
class OAuthServer:
    client_id: str = "client-1"
    client_secret: str = "secret-1"
    callbacks: tuple[str, ...] = ()
    """Addresses below which redirects may lead."""
    people: dict[str, Person] = field(default_factory=dict)
    signed_in: str = ""
    denies: bool = False
    grants_less: bool = False
    down: bool = False
    tokens: dict[str, Token] = field(default_factory=dict)
    revoked: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    codes: dict[str, Code] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    made_token: Callable[[str, Person], object] = lambda token, person: None
    port: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def person(
        self,
        login: str,
        *,
        email: str = "",
        verified: bool = True,
        organisations: list[str] | None = None,
    ) -> Person:
        """Make somebody, who is at the browser from now on."""
        made = Person(len(self.people) + 1000, login, organisations=organisations or [])
        if email:
            other = {"email": f"other-{email}", "primary": False, "verified": True}
            made.emails = [other, {"email": email, "primary": True, "verified": verified}]
        self.people[login] = made
        self.signed_in = login
        return made

    def add_to(self, app: web.Application) -> None:
        """Serve it in an application, before what takes all other paths."""
        for method, path, handler in (
            ("GET", "/login/oauth/authorize", self._authorize),
            ("POST", "/login/oauth/access_token", self._exchange),
            ("GET", f"{API}/user", self._user),
            ("GET", f"{API}/user/emails", self._emails),
            ("GET", f"{API}/user/orgs", self._organisations),
            ("DELETE", f"{API}/applications/{{client}}/token", self._revoke),
            ("DELETE", f"{API}/applications/{{client}}/grant", self._revoke),
        ):
            app.router.add_route(method, path, self._noted(handler))

    def _noted(self, handler: Handler) -> Handler:
        async def handle(request: web.Request) -> web.StreamResponse:
            self.asked.append(f"{request.method} {request.path}")
            if self.down:
                return web.Response(status=503, text="<html>unicorn</html>")
            return await handler(request)

        return handle

    async def _authorize(self, request: web.Request) -> web.StreamResponse:
        query = request.query
        redirect = query.get("redirect_uri", "")
        if query.get("client_id") != self.client_id:
            return self._refuse("unknown client_id", 404)
        if not any(redirect.startswith(one) for one in self.callbacks):
            return self._refuse(f"redirect_uri {redirect} is not the app's", 404)
        if len(query.get("state", "")) < 22:
            return self._refuse("state is short", 400)
        if query.get("code_challenge_method") != "S256" or len(query["code_challenge"]) != 43:
            return self._refuse("PKCE is S256 only", 400)
        answer = {"state": query["state"]}
        if self.denies:
            answer |= {"error": "access_denied", "error_description": "The user has denied"}
        else:
            scopes = tuple(query.get("scope", "").split())
            code = answer["code"] = secrets.token_hex(10)
            self.codes[code] = Code(
                self.people[self.signed_in],
                redirect,
                query["code_challenge"],
                scopes[:1] if self.grants_less else scopes,
                time.time() + CODE_SECONDS,
            )
        return web.Response(status=302, headers={"Location": f"{redirect}?{urlencode(answer)}"})

    async def _exchange(self, request: web.Request) -> web.StreamResponse:
        form = {name: str(value) for name, value in (await request.post()).items()}
        if request.headers.get("Accept") != "application/json":
            return self._refuse("would answer as a form", 400)
        if (form.get("client_id"), form.get("client_secret")) != (
            self.client_id, self.client_secret,
        ):  # fmt: skip
            return self._error("incorrect_client_credentials")
        code = self.codes.pop(form.get("code", ""), None)
        if code is None or code.until < time.time():
            return self._error("bad_verification_code")
        if form.get("redirect_uri") != code.redirect:
            return self._error("redirect_uri_mismatch")
        digest = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
        if base64.urlsafe_b64encode(digest).rstrip(b"=").decode() != code.challenge:
            return self._error("bad_verification_code")
        token = f"gho_{secrets.token_hex(18)}"
        self.tokens[token] = Token(code.person, code.scopes)
        self.made_token(token, code.person)
        return web.json_response(
            {"access_token": token, "token_type": "bearer", "scope": ",".join(code.scopes)}
        )

    async def _user(self, request: web.Request) -> web.StreamResponse:
        token = self._token(request)
        if token is None:
            return web.json_response({"message": "Bad credentials"}, status=401)
        return web.json_response(
            {"id": token.person.id, "login": token.person.login, "name": None, "email": None},
            headers={"ETag": '"same-for-all"', "X-OAuth-Scopes": ", ".join(token.scopes)},
        )

    async def _emails(self, request: web.Request) -> web.StreamResponse:
        token = self._token(request)
        if token is None or not {"user:email", "user"} & set(token.scopes):
            return web.json_response({"message": "Not Found"}, status=404)
        return web.json_response(token.person.emails)

    async def _organisations(self, request: web.Request) -> web.StreamResponse:
        token = self._token(request)
        if token is None or not {"read:org", "user"} & set(token.scopes):
            return web.json_response({"message": "needs read:org"}, status=403)
        return web.json_response([{"login": name} for name in token.person.organisations])

    async def _revoke(self, request: web.Request) -> web.StreamResponse:
        basic = base64.b64encode(f"{self.client_id}:{self.client_secret}".encode()).decode()
        if request.headers.get("Authorization") != f"Basic {basic}":
            return web.json_response({"message": "Bad credentials"}, status=401)
        if request.match_info["client"] != self.client_id:
            return web.json_response({"message": "Not Found"}, status=404)
        token = (await request.json())["access_token"]
        if token not in self.tokens:
            return web.json_response({"message": "Not Found"}, status=404)
        person = self.tokens[token].person
        whole = request.path.endswith("/grant")
        for one in [key for key, value in self.tokens.items() if value.person == person]:
            if one == token or whole:
                del self.tokens[one]
                self.revoked.append(one)
        return web.Response(status=204)

    def _token(self, request: web.Request) -> Token | None:
        kind, _, token = request.headers.get("Authorization", "").partition(" ")
        return self.tokens.get(token) if kind in ("Bearer", "token") else None

    def _refuse(self, why: str, status: int) -> web.Response:
        self.problems.append(why)
        return web.Response(status=status, text=why)

    def _error(self, code: str) -> web.Response:
        self.problems.append(code)
        return web.json_response({"error": code, "error_description": "see the documentation"})


@contextlib.asynccontextmanager
async def running_oauth() -> AsyncIterator[OAuthServer]:
    """Run it alone, on a free port of loopback."""
    server = OAuthServer()
    app = web.Application()
    server.add_to(app)
    runner = web.AppRunner(app, shutdown_timeout=1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    server.port = runner.addresses[0][1]
    try:
        yield server
    finally:
        await runner.cleanup()
