"""HTTP and WebSocket to the control plane: errors typed, safe requests repeated.

Most commands make a request or two, by `wire`. Uploads and WebSockets stream, by aiohttp, which
is loaded for them only.
"""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterable, AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import quote, urlencode

from helvetia.kernel.errors import HelvetiaError, InvalidInput, Unauthenticated, Unreachable

from .address import START, Address
from .problems import to_error
from .wire import Answer, Broken, NotConnected, send

if TYPE_CHECKING:
    import aiohttp
    from yarl import URL

PREFIX = "/api/v1"
_ATTEMPTS = 4
_LONGEST_WAIT = 30.0
_TIMEOUT = 60.0
_NEW_TOKEN_PAUSES = (0.0, 0.5, 1.0, 2.0)
_MAX_FRAME = 64 * 1024 * 1024


class Interrupted(HelvetiaError):
    """A WebSocket ended before its last frame."""


def part(value: str) -> str:
    """Return a name or id as one part of a path.

    Raises:
        InvalidInput: it cannot be one.
    """
    if value in ("", ".", ".."):
        raise InvalidInput("name", f"`{value}` is no name or id")
    return quote(value, safe="")


class Client:
    """A connection to one control plane; use it as an asynchronous context manager.

    Args:
        address: where it is.
        renew: finds the address anew. A restarted platform has another token for this machine.
    """

    def __init__(self, address: Address, renew: Callable[[], Address] | None = None) -> None:
        self.address = address
        self._renew = renew
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        """Begin; nothing is opened before it is needed."""
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close what was opened."""
        if self._session is not None:
            await self._session.close()

    async def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str | int | None] | None = None,
        body: object = None,
        headers: Mapping[str, str] | None = None,
        repeat: bool | None = None,
        timeout: float = _TIMEOUT,
    ) -> Any:
        """Send a request and return the JSON of the answer, None for an empty one.

        Args:
            repeat: the request may be sent again when the connection breaks; GET by default.

        Raises:
            HelvetiaError: the control plane refused, or it cannot be reached.
        """
        may_repeat = method == "GET" if repeat is None else repeat
        content = None if body is None else json.dumps(body).encode()
        sent = {"Accept": "application/json", **(headers or {})}
        if content is not None:
            sent["Content-Type"] = "application/json"
        url = self._address(path, query)
        for attempt in range(1, _ATTEMPTS + 1):
            last = attempt == _ATTEMPTS or not may_repeat
            token = self.address.token
            try:
                answer = await send(
                    method, url, headers=sent | self._authorization, body=content, seconds=timeout
                )
                if answer.status != 429 or last:
                    return self._read(answer.status, answer.body)
                wait = _retry_after(answer)
            except Unauthenticated:
                if attempt == _ATTEMPTS or not await self._find_new_token(token):
                    raise
                wait = 0.0
            except Broken as error:
                if last:
                    raise self._unreachable(error) from error
                wait = 0.2 * 2**attempt
            except (NotConnected, TimeoutError) as error:
                raise self._unreachable(error) from error
            await asyncio.sleep(wait)
        raise AssertionError("the last attempt returns or raises")

    async def upload(self, path: str, body: AsyncIterable[bytes], length: int) -> Any:
        """Send a stream of bytes and return the JSON of the answer."""
        import aiohttp

        headers = {
            "Accept": "application/json",
            "Content-Type": "application/gzip",
            "Content-Length": str(length),
            **self._authorization,
        }
        # No limit for the whole: the network sets the pace. Silence has one.
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=30, sock_read=300)
        try:
            async with self._open.post(
                self._url(path), data=body, headers=headers, timeout=timeout
            ) as answer:
                return self._read(answer.status, await answer.read())
        except (aiohttp.ClientError, TimeoutError) as error:
            raise self._unreachable(error) from error

    async def download(
        self, path: str, query: Mapping[str, str | int | None]
    ) -> AsyncIterator[bytes]:
        """Go through the bytes of an answer that may be large."""
        import aiohttp

        timeout = aiohttp.ClientTimeout(total=None, sock_connect=30, sock_read=_TIMEOUT)
        try:
            async with self._open.get(
                self._url(path, query), headers=self._authorization, timeout=timeout
            ) as answer:
                if answer.status >= 400:
                    self._read(answer.status, await answer.read())
                async for part in answer.content.iter_any():
                    yield part
        except (aiohttp.ClientError, TimeoutError) as error:
            raise self._unreachable(error) from error

    @asynccontextmanager
    async def socket(self, path: str) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
        """Lend an open WebSocket.

        Raises:
            HelvetiaError: the control plane refused, or it cannot be reached.
        """
        import aiohttp

        try:
            async with asyncio.timeout(_TIMEOUT):
                socket = await self._open.ws_connect(
                    self._url(path),
                    headers=self._authorization,
                    heartbeat=15,
                    max_msg_size=_MAX_FRAME,
                )
        except aiohttp.WSServerHandshakeError as error:
            # The refusal of a handshake has no words; that of a plain request does.
            await self.request("GET", path)
            raise self._unreachable(error) from error
        except (aiohttp.ClientError, TimeoutError) as error:
            raise self._unreachable(error) from error
        async with socket:
            yield socket

    async def frames(
        self, path: str, query: Mapping[str, str | int | None]
    ) -> AsyncIterator[dict[str, Any]]:
        """Go through the JSON frames of a WebSocket until the control plane closes it.

        Raises:
            Interrupted: it could not be opened or broke.
        """
        import aiohttp

        try:
            async with asyncio.timeout(_TIMEOUT):
                socket = await self._open.ws_connect(
                    self._url(path, query),
                    headers=self._authorization,
                    heartbeat=15,
                    max_msg_size=_MAX_FRAME,
                )
        except (aiohttp.ClientError, TimeoutError) as error:
            raise Interrupted(f"the log cannot be followed: {error}") from error
        async with socket:
            async for message in socket:
                if message.type is not aiohttp.WSMsgType.TEXT:
                    break
                frame = json.loads(message.data)
                yield frame
                if frame.get("ended"):
                    return
        raise Interrupted("the connection broke")

    @property
    def _open(self) -> aiohttp.ClientSession:
        import aiohttp

        if self._session is None:
            self._session = aiohttp.ClientSession()
        return self._session

    @property
    def _authorization(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.address.token}"} if self.address.token else {}

    async def _find_new_token(self, refused: str) -> bool:
        """Look for the address again and tell whether there is another token for it.

        Args:
            refused: the token that is not valid; another request may have found a new one since.

        Raises:
            Unreachable: the platform of this machine is gone, or has just begun to start.
        """
        if self._renew is None:
            return False
        # The platform voids the former token a moment before it writes the new one down.
        for pause in _NEW_TOKEN_PAUSES:
            await asyncio.sleep(pause)
            found = self._renew()
            if found.url == self.address.url and found.token != refused:
                self.address = found
                return True
        return False

    def _address(self, path: str, query: Mapping[str, str | int | None] | None = None) -> str:
        given = {name: str(value) for name, value in (query or {}).items() if value is not None}
        url = self.address.url + PREFIX + path
        return f"{url}?{urlencode(given)}" if given else url

    def _url(self, path: str, query: Mapping[str, str | int | None] | None = None) -> URL:
        from yarl import URL

        return URL(self._address(path, query), encoded=True)

    def _read(self, status: int, data: bytes) -> Any:
        is_good = status < 400
        if not data and is_good:
            return None
        try:
            content = json.loads(data)
        except ValueError:
            content = None
        if is_good and content is not None:
            return content
        if isinstance(content, dict) and "code" in content:
            raise to_error(status, content)
        raise Unreachable(
            f"what answers at {self.address.url} is not Helvetia (HTTP status {status})",
            hint="check HELVETIA_URL and what stands between",
        )

    def _unreachable(self, error: Exception) -> Unreachable:
        url = self.address.url
        if isinstance(error, TimeoutError):
            return Unreachable(f"Helvetia at {url} did not answer in time", hint="try again")
        if isinstance(error.__cause__, ssl.SSLCertVerificationError):
            return Unreachable(f"the certificate of {url} is not trusted: {error}")
        if isinstance(error, NotConnected):
            hint = START if self.address.is_local else "check HELVETIA_URL and the network"
            return Unreachable(f"no Helvetia answers at {url}", hint=hint)
        return Unreachable(f"the connection to {url} broke: {error or type(error).__name__}")


def _retry_after(answer: Answer) -> float:
    try:
        asked = float(answer.headers.get("retry-after", "1"))
    except ValueError:
        asked = 1.0
    return min(max(asked, 0.2), _LONGEST_WAIT)
