"""One conversation with a registry: every request signed in, bounded in time and size."""

from __future__ import annotations

import asyncio
import os
import random
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Container, Mapping
from dataclasses import replace
from types import TracebackType
from typing import TypeVar

import aiohttp
from yarl import URL

from helvetia import LogSink
from helvetia.plugins.registry.common.settings import RegistrySettings, is_loopback

from .authentication import Authentication
from .problems import Answer, Refused, Unanswered, problem

Value = TypeVar("Value")
Body = Callable[[], AsyncIterator[bytes]]

_MAX_ANSWER = 4 * 1024 * 1024
_CONNECT_SECONDS = 5.0
_SETTLE_SECONDS = 300.0  # a registry may copy a large layer before it says that it has it
_FIRST_PAUSE, _LONGEST_PAUSE = 0.2, 5.0


class Client:
    """Speaks with the registry. Use it as an asynchronous context manager.

    Args:
        scopes: what will be done, as `repository:apps/web:pull,push`.
        tls: None without TLS.
        log: told of pauses; None for short questions, which are not asked a second time.
    """

    def __init__(
        self,
        settings: RegistrySettings,
        authentication: Authentication,
        *,
        scopes: tuple[str, ...] = (),
        tls: ssl.SSLContext | None,
        log: LogSink | None = None,
    ) -> None:
        self._settings, self._authentication = settings, authentication
        self._scopes, self._tls, self._log = scopes, tls, log

    async def __aenter__(self) -> Client:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=self._tls or True, limit=8),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_SECONDS),
            headers={"Accept-Encoding": "identity", "User-Agent": "helvetia"},
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=not is_loopback(self._settings.base),
            auto_decompress=False,
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._session.close()

    async def ask(
        self,
        method: str,
        address: str | URL,
        *,
        what: str,
        accept: Container[int] = (200,),
        headers: Mapping[str, str] | None = None,
        body: Body | bytes | None = None,
    ) -> Answer:
        """Send a request and return the answer.

        Args:
            address: a path below the registry's own, or what a `Location` said.
            what: the registry is asked, as `to keep layer 2 of 5`, for the error.
            accept: statuses that are an answer; others are raised.
            body: bytes, or a function that yields them, `Content-Length` being in `headers`.

        Raises:
            Unanswered: it may be worth another try.
            Refused: it is not.
        """
        url = self._url(address)
        answer, sent, challenges = await self._signed(method, url, headers or {}, body)
        if answer.status == 401 and not (sent and _is_a_matter_of_rights(challenges)):
            await self._authentication.renew(
                sent, self._scopes, challenges=challenges, ask=self._ask_elsewhere
            )
            answer, _, challenges = await self._signed(method, url, headers or {}, body)
        if answer.status == 401 and _is_a_matter_of_rights(challenges):
            answer = replace(answer, status=403)
        if answer.status in accept:
            return answer
        raise problem(what, answer)

    async def persistently(self, work: Callable[[], Awaitable[Value]]) -> Value:
        """Do something, again and again while the registry is away, with growing pauses."""
        clock = asyncio.get_running_loop().time
        pause, first_failure = _FIRST_PAUSE, 0.0
        while True:
            try:
                return await work()
            except Unanswered as failed:
                first_failure = first_failure or clock()
                # Workers that lost the registry at once should not come back at once.
                wait = max(failed.pause, pause * random.uniform(0.5, 1))  # noqa: S311
                if clock() + wait - first_failure > self._settings.retry_seconds:
                    raise
                if self._log:
                    self._log.line(f"{failed.message}; trying again in {wait:.1f} s")
                await asyncio.sleep(wait)
                pause = min(2 * pause, _LONGEST_PAUSE)

    def _url(self, address: str | URL) -> URL:
        base = self._settings.base
        url = base.join(URL(address, encoded=True) if isinstance(address, str) else address)
        if url.host == base.host and url.origin() != base:
            # A registry behind a proxy often does not know how it is reached.
            url = url.with_scheme(base.scheme).with_port(base.explicit_port)
        if base.scheme == "https" != url.scheme:
            raise Refused(f"the registry leads to {url.scheme}://{url.host}, without encryption")
        return url

    async def _signed(
        self, method: str, url: URL, headers: Mapping[str, str], body: Body | bytes | None
    ) -> tuple[Answer, str, list[str]]:
        """Send a request with what is known of signing in, and say what that was."""
        own = url.origin() == self._settings.base
        sent = self._authentication.header(self._scopes) if own else ""
        signed = {**headers, "Authorization": sent} if sent else headers
        answer, challenges = await self._once(method, url, signed, body)
        return answer, sent, challenges

    async def _ask_elsewhere(self, url: URL, headers: dict[str, str]) -> Answer:
        answer, _ = await self._once("GET", url, headers, None)
        return answer

    async def _once(
        self, method: str, url: URL, headers: Mapping[str, str], body: Body | bytes | None
    ) -> tuple[Answer, list[str]]:
        where = f"{url.scheme}://{url.authority}"
        silent = self._settings.timeout_seconds
        try:
            async with asyncio.timeout(silent) as limit:
                data = _watched(body, limit, silent) if callable(body) else body
                async with self._session.request(
                    method, url, headers=headers, data=data, allow_redirects=method == "GET"
                ) as response:
                    content = await _read(response)
                    answer = Answer(
                        status=response.status,
                        headers={key.lower(): text for key, text in response.headers.items()},
                        body=content,
                    )
                    return answer, response.headers.getall("WWW-Authenticate", [])
        except TimeoutError as error:
            raise Unanswered(
                f"the registry at {where} did not answer in time",
                hint="is it overloaded? HELVETIA_REGISTRY_TIMEOUT_SECONDS says how long to wait",
            ) from error
        except aiohttp.ClientConnectorCertificateError as error:
            raise Refused(
                f"the certificate of {where} is not to be trusted: "
                f"{error.certificate_error.args[-1]}",
                hint="HELVETIA_REGISTRY_CA names a PEM file with the authority to trust",
            ) from error
        except aiohttp.ClientConnectorSSLError as error:
            raise Refused(
                f"{where} does not speak TLS: {error.strerror or error}",
                hint="does HELVETIA_REGISTRY_URL name the right port?",
            ) from error
        except (aiohttp.ClientError, OSError) as error:
            raise Unanswered(
                f"the registry at {where} is not reachable: {_reason(error)}",
                hint="is it running, and is HELVETIA_REGISTRY_URL right?",
            ) from error


def _is_a_matter_of_rights(challenges: list[str]) -> bool:
    """Tell whether another token would not help, as the one that was sent allows too little."""
    return any("insufficient_scope" in challenge for challenge in challenges)


async def _watched(body: Body, limit: asyncio.Timeout, silent: float) -> AsyncIterator[bytes]:
    """Hand on a body, and let the time run only while nothing of it is taken."""
    clock = asyncio.get_running_loop().time
    async for chunk in body():
        limit.reschedule(clock() + silent)
        yield chunk
    limit.reschedule(clock() + max(silent, _SETTLE_SECONDS))


async def _read(response: aiohttp.ClientResponse) -> bytes:
    content = bytearray()
    async for chunk in response.content.iter_any():
        content += chunk
        if len(content) > _MAX_ANSWER:
            raise Refused(f"{response.url.host} answered with more than a registry has to say")
    return bytes(content)


def _reason(error: Exception) -> str:
    cause = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error
    if isinstance(cause, ConnectionError) and cause.errno:
        return os.strerror(cause.errno)  # asyncio writes addresses in its place
    text = getattr(cause, "strerror", None) or str(cause) or type(cause).__name__
    return str(text).splitlines()[0]
