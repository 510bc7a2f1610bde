"""A container at a terminal."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

import aiohttp
from aiodocker import DockerError
from aiodocker.containers import DockerContainer
from aiodocker.stream import Stream

from .engine import Engine

AT_TERMINAL = {
    "Tty": True,
    "OpenStdin": True,
    "StdinOnce": True,
    "AttachStdin": True,
    "AttachStdout": True,
    "AttachStderr": True,
}
"""What a container is created with to have one."""
_TOO_EARLY_SECONDS = 0.05
_TRIES = 20


class DockerTerminal:
    """The near end of an attached container; see `Terminal` of the contract.

    Attributes:
        whole: what is to be undone at the end.
    """

    def __init__(
        self,
        engine: Engine,
        container: DockerContainer,
        stream: Stream,
        ended: Callable[[], Awaitable[tuple[int, str]]],
    ) -> None:
        self._engine = engine
        self._container = container
        self._stream = stream
        self._ended = ended
        self.whole = contextlib.AsyncExitStack()

    async def read(self) -> bytes:
        """Return what the program wrote next."""
        try:
            message = await self._stream.read_out()
        except (aiohttp.ClientError, ConnectionError):
            return b""
        return message.data if message else b""

    async def write(self, data: bytes) -> None:
        """Type."""
        # The connection may be closed already, which the library says in three ways.
        with contextlib.suppress(ConnectionError, RuntimeError, AssertionError):
            await self._stream.write_in(data)

    async def resize(self, columns: int, rows: int) -> None:
        """Tell the program the size of the window."""
        with self._engine.telling():
            for _ in range(_TRIES):
                try:
                    await self._container.resize(h=rows, w=columns)
                    return
                except DockerError:
                    # It has ended, or it is told before the engine has made the terminal.
                    if not (await self._container.show())["State"]["Running"]:
                        return
                await asyncio.sleep(_TOO_EARLY_SECONDS)

    async def wait(self) -> int:
        """Wait for the end."""
        with self._engine.telling():
            return (await self._ended())[0]

    async def close(self) -> None:
        """End the program and remove its container."""
        await self.whole.aclose()
