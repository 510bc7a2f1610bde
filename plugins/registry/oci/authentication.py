"""Signing in to a registry: Basic, or a token from where the registry says."""

from __future__ import annotations

import asyncio
import base64
import re
import time
from collections.abc import Awaitable, Callable, Sequence

from yarl import URL

from helvetia.plugins.registry.common.settings import RegistrySettings, is_loopback

from .problems import Answer, Refused, problem

Ask = Callable[[URL, dict[str, str]], Awaitable[Answer]]

_CHALLENGE = re.compile(r"\s*(basic|bearer)(?:\s+(.*))?", re.IGNORECASE | re.DOTALL)
_PARAMETER = re.compile(r'([a-z_]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]+))', re.IGNORECASE)
_SHORTEST_SECONDS = 60
_USED = 0.9  # of a token's life, then it is asked for again


class Authentication:
    """Remembers how the registry wants to be asked, and the tokens it gave."""

    def __init__(self, settings: RegistrySettings) -> None:
        self._settings = settings
        pair = f"{settings.username}:{settings.password.get_secret_value()}"
        self._basic = f"Basic {base64.b64encode(pair.encode()).decode()}"
        self._wants_basic = False
        self._tokens: dict[str, tuple[str, float]] = {}
        self._lock = asyncio.Lock()

    def header(self, scopes: Sequence[str]) -> str:
        """Return the Authorization for requests of these scopes; empty if none is known."""
        if self._wants_basic:
            return self._basic
        token, until = self._tokens.get(" ".join(scopes), ("", 0.0))
        return token if until > time.monotonic() else ""

    async def renew(
        self, sent: str, scopes: Sequence[str], *, challenges: Sequence[str], ask: Ask
    ) -> None:
        """Take up the challenge of an answer 401, so that `header` is worth another try.

        Args:
            sent: the Authorization that was not enough.
            challenges: the WWW-Authenticate headers.
            ask: sends a GET with headers.

        Raises:
            Refused: there is no other way to sign in, or the password is wrong.
        """
        async with self._lock:
            if self.header(scopes) != sent:
                return  # another task was faster
            found = {kind: parameters for kind, parameters in map(_parsed, challenges) if kind}
            if "bearer" in found:
                token = await self._token(found["bearer"], scopes, ask)
                self._tokens = {
                    key: kept for key, kept in self._tokens.items() if kept[1] > time.monotonic()
                }
                self._tokens[" ".join(scopes)] = token
                return
            if "basic" not in found:
                raise Refused(
                    "the registry wants to be signed in to in a way that is not known here",
                    hint="Basic and Bearer tokens are",
                )
            if not self._settings.username:
                raise Refused(
                    "the registry wants a user name and a password",
                    hint="set HELVETIA_REGISTRY_USERNAME and HELVETIA_REGISTRY_PASSWORD",
                )
            if sent:
                raise problem("", Answer(status=401, headers={}, body=b""))
            self._wants_basic = True

    async def _token(
        self, challenge: dict[str, str], scopes: Sequence[str], ask: Ask
    ) -> tuple[str, float]:
        url = URL(challenge.get("realm", ""))
        if url.scheme not in ("http", "https") or not url.host:
            raise Refused("the registry names no address to get a token from")
        headers: dict[str, str] = {}
        query = [("scope", scope) for scope in scopes]
        if service := challenge.get("service"):
            query.append(("service", service))
        if self._settings.username:
            plain = url.scheme == "http" and not is_loopback(url)
            if plain and not self._settings.allow_plain_http:
                raise Refused(
                    f"the registry wants the password sent to {url.host} without encryption",
                    hint="it should name an https address for its tokens",
                )
            headers["Authorization"] = self._basic
            query.append(("account", self._settings.username))
        answer = await ask(url.extend_query(query), headers)
        if answer.status != 200:
            raise problem("to give a token", answer)
        document = answer.document()
        token = document.get("token") or document.get("access_token")
        if not isinstance(token, str) or not re.fullmatch(r"[!-~]+", token):
            raise Refused(f"{url.host} gave no token")
        seconds = document.get("expires_in")
        life = seconds if isinstance(seconds, int) else 0
        until = time.monotonic() + max(life, _SHORTEST_SECONDS) * _USED
        return f"Bearer {token}", until


def _parsed(challenge: str) -> tuple[str, dict[str, str]]:
    match = _CHALLENGE.fullmatch(challenge)
    if not match:
        return "", {}
    parameters = {
        key.lower(): re.sub(r"\\(.)", r"\1", quoted) or plain
        for key, quoted, plain in _PARAMETER.findall(match[2] or "")
    }
    return match[1].lower(), parameters
