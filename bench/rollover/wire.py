"""HTTP/1.1 and WebSockets on bare streams: each request is sent once, and nothing is retried.

`aiohttp.ClientSession` sends an idempotent request a second time if its connection broke: under
it a server may drop requests and nobody would know.
"""

from __future__ import annotations

import asyncio
import base64
import os
import struct
from dataclasses import dataclass

_TEXT, _CLOSE, _PING, _PONG = 1, 8, 9, 10
_LONGEST = 2**20
CUT = "cut after"
"""Part of what is told of an answer that began well and broke off."""


class Broken(Exception):
    """What is wrong with an answer."""


@dataclass(frozen=True, slots=True)
class Reply:
    """A whole answer; `keeps` tells whether the connection may be used again."""

    status: int
    body: bytes
    keeps: bool


class Connection:
    """One connection to the proxy."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def open(cls, port: int) -> Connection:
        """Connect to a port of this machine."""
        return cls(*await asyncio.open_connection("127.0.0.1", port, limit=_LONGEST))

    @property
    def is_closed(self) -> bool:
        """Whether the other side is known to have closed it."""
        return self._reader.at_eof() or self._writer.is_closing()

    def close(self) -> None:
        self._writer.close()

    def send(self, method: str, path: str, headers: dict[str, str], body: bytes = b"") -> None:
        """Send a request."""
        if method == "POST":
            headers = {**headers, "Content-Length": str(len(body))}
        lines = [f"{method} {path} HTTP/1.1", *(f"{k}: {v}" for k, v in headers.items()), "", ""]
        self._writer.write("\r\n".join(lines).encode() + body)

    async def receive(self) -> Reply:
        """Take a whole answer.

        Raises:
            Broken: it ended early or is no HTTP.
        """
        status, headers = await self._head()
        if status == 101:
            return Reply(status, b"", True)
        body = bytearray()
        try:
            if headers.get("transfer-encoding") == "chunked":
                while size := int(await self._reader.readline(), 16):
                    body += await self._reader.readexactly(size)
                    await self._reader.readexactly(2)
                await self._reader.readexactly(2)
            else:
                body += await self._reader.readexactly(int(headers["content-length"]))
        except (asyncio.IncompleteReadError, ValueError, KeyError) as error:
            raise Broken(f"status {status}, {CUT} {len(body)} bytes") from error
        return Reply(status, bytes(body), headers.get("connection") != "close")

    async def _head(self) -> tuple[int, dict[str, str]]:
        try:
            head = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        except asyncio.IncompleteReadError as error:
            raise Broken(f"closed after {len(error.partial)} bytes of the head") from error
        pairs = (line.partition(":") for line in head[1:] if line)
        return int(head[0].split()[1]), {k.lower(): v.strip().lower() for k, _, v in pairs}

    # --- WebSocket --------------------------------------------------------------------------

    async def upgrade(self, path: str, host: str) -> None:
        """Turn this into a WebSocket.

        Raises:
            Broken: it was refused.
        """
        key = base64.b64encode(os.urandom(16)).decode()
        more = {"Connection": "Upgrade", "Upgrade": "websocket"}
        more |= {"Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": key}
        self.send("GET", path, {"Host": host, **more})
        reply = await self.receive()
        if reply.status != 101:
            raise Broken(f"status {reply.status}")

    def say(self, text: str) -> None:
        """Send a text message."""
        self._frame(_TEXT, text.encode())

    def say_goodbye(self) -> None:
        """Begin the closing handshake."""
        self._frame(_CLOSE, struct.pack(">H", 1000))

    async def hear(self) -> str | int:
        """Return the next message, or the code with which the other side says goodbye.

        Raises:
            Broken: the stream ended without a goodbye.
        """
        while True:
            try:
                first, second = await self._reader.readexactly(2)
                size = second & 127
                if size == 126:
                    (size,) = struct.unpack(">H", await self._reader.readexactly(2))
                payload = await self._reader.readexactly(size)
            except asyncio.IncompleteReadError as error:
                raise Broken("end of stream") from error
            except ConnectionResetError as error:
                raise Broken("reset") from error
            kind = first & 15
            if kind == _PING:
                self._frame(_PONG, payload)
            elif kind == _CLOSE:
                return int(struct.unpack(">H", payload[:2])[0]) if payload else 1005
            elif kind == _TEXT:
                return payload.decode()

    def _frame(self, kind: int, payload: bytes) -> None:
        mask = os.urandom(4)
        masked = bytes(byte ^ mask[at % 4] for at, byte in enumerate(payload))
        self._writer.write(bytes([0x80 | kind, 0x80 | len(payload)]) + mask + masked)
