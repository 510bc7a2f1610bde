"""A program at a terminal, under a supervisor like every other."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import struct
import sys
from collections.abc import AsyncIterator
from pathlib import Path

from helvetia import ReleaseFailed
from helvetia.plugins.supervisor import Supervised

_BRIDGE = Path(__file__).parent / "bridge.py"
_HEADER = struct.Struct(">cH")
_CHUNK = 16 * 1024
_ACCEPT_SECONDS = 10.0
_POLL_SECONDS = 0.02
_LIVE = ("running", "restarting", "crash-loop")


class ProcessTerminal:
    """The near end of the socket whose far end is the bridge; see `Terminal` of the contract.

    Attributes:
        whole: what is to be undone at the end.
    """

    def __init__(self, server: socket.socket, path: Path, supervised: Supervised) -> None:
        self._server = server
        self._path = path
        self._supervised = supervised
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self.whole = contextlib.AsyncExitStack()

    @classmethod
    @contextlib.asynccontextmanager
    async def listening(
        cls, folder: Path, supervised: Supervised
    ) -> AsyncIterator[ProcessTerminal]:
        """Wait for the bridge in a folder."""
        with socket.socket(socket.AF_UNIX) as server:
            server.setblocking(False)
            descriptor = os.open(folder, os.O_PATH | os.O_DIRECTORY)
            try:
                # The path itself may be longer than the address of a socket.
                server.bind(f"/proc/self/fd/{descriptor}/terminal")
            finally:
                os.close(descriptor)
            server.listen(1)
            terminal = cls(server, folder / "terminal", supervised)
            try:
                yield terminal
            finally:
                if terminal._streams is not None:
                    terminal._streams[1].close()

    def argv(self, command: list[str], columns: int, rows: int) -> list[str]:
        """Return what runs a command at a terminal of ours."""
        bridge = [sys.executable, "-I", "-S", str(_BRIDGE)]
        return [*bridge, str(self._path), str(columns), str(rows), *command]

    async def accept(self) -> None:
        """Let the bridge in.

        Raises:
            ReleaseFailed: it does not come.
        """
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(_ACCEPT_SECONDS):
                connection, _ = await loop.sock_accept(self._server)
                self._streams = await asyncio.open_connection(sock=connection)
        except TimeoutError as error:
            state = await self._supervised.state()
            raise ReleaseFailed(f"the terminal could not be opened: {state.reason}") from error

    async def read(self) -> bytes:
        """Return what the program wrote next."""
        assert self._streams is not None
        try:
            return await self._streams[0].read(_CHUNK)
        except ConnectionError:
            return b""

    async def write(self, data: bytes) -> None:
        """Type."""
        for first in range(0, len(data), _CHUNK):
            await self._send(b"I", data[first : first + _CHUNK])

    async def resize(self, columns: int, rows: int) -> None:
        """Tell the program the size of the window."""
        await self._send(b"S", struct.pack(">HH", columns, rows))

    async def _send(self, kind: bytes, body: bytes) -> None:
        assert self._streams is not None
        with contextlib.suppress(ConnectionError):
            self._streams[1].write(_HEADER.pack(kind, len(body)) + body)
            await self._streams[1].drain()

    async def wait(self) -> int:
        """Wait for the end."""
        while (state := await self._supervised.state()).status in _LIVE:
            await asyncio.sleep(_POLL_SECONDS)
        return 1 if state.exit_code is None else state.exit_code

    async def close(self) -> None:
        """End the program and remove its copy."""
        await self.whole.aclose()
