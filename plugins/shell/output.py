"""What a command without a terminal writes, on its way to whoever reads it."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator

from helvetia.masking import Redactor

_NUMBERS = {"stdout": 1, "stderr": 2}
_HELD_BYTES = 4 * 2**20
NOTE = 0


class Output:
    """A log sink whose lines are taken out at the other end; secrets are masked in between.

    Bounded: a runtime does not wait for a slow reader, so what is too much is left out and told.
    """

    def __init__(self, secrets: Redactor) -> None:
        self._streams = {name: secrets.stream() for name in _NUMBERS}
        self._secrets = secrets
        self._pieces: deque[tuple[int, bytes]] = deque()
        self._held = 0
        self._left_out = 0
        self._news = asyncio.Event()
        self._is_over = False

    def line(self, text: str) -> None:
        """Take what the platform says."""
        self._put(NOTE, self._secrets.text(text).encode())

    def write(self, data: bytes, stream: str = "stdout") -> None:
        """Take what the program wrote."""
        name = stream if stream in _NUMBERS else "stdout"
        self._put(_NUMBERS[name], self._streams[name].feed(data))

    def end(self) -> None:
        """Say that nothing follows."""
        for name, number in _NUMBERS.items():
            self._put(number, self._streams[name].flush())
        self._is_over = True
        self._news.set()

    async def pieces(self) -> AsyncIterator[tuple[int, bytes]]:
        """Yield number of the stream, or `NOTE`, and what came, to the end."""
        while True:
            self._news.clear()
            while self._pieces:
                number, data = self._pieces.popleft()
                self._held -= len(data)
                yield number, data
            if self._left_out:
                words = f"{self._left_out:,} bytes were written too fast and are left out"
                self._left_out = 0
                yield NOTE, words.encode()
            elif self._is_over:
                return
            else:
                await self._news.wait()

    def _put(self, number: int, data: bytes) -> None:
        if self._left_out or self._held + len(data) > _HELD_BYTES:
            self._left_out += len(data)
        elif data:
            self._pieces.append((number, data))
            self._held += len(data)
        self._news.set()
