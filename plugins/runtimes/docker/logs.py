"""The output of a container, page by page: no line lost, none doubled.

The engine has no positions, and its times are not in order across the two streams. Within one
stream they are, so a cursor names the entry that ended the last line read: it is looked for from
the end of the log, and what follows is new, whatever the clock does. Where a long line of the
other stream had begun before that entry, the cursor names its beginning as well.
"""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass, field

from aiodocker import Docker
from aiohttp import ClientResponse

from helvetia import RuntimeLog, RuntimeLogPage

from .engine import Engine, seconds

STREAMS = {1: "stdout", 2: "stderr"}
_LOOKS = (32, 1024)  # entries from the end, before the whole log is read
_IDLE_SECONDS = 30.0
_LINE_BYTES = 2**20
_PAGE_BYTES = 4 * 2**20


@dataclass(frozen=True, slots=True)
class Entry:
    """What the engine keeps at once: a line, or up to 16 KiB of one.

    Attributes:
        index: its place among those that were read.
        time: when the line began, as the engine writes it.
        part: which one of its line.
    """

    index: int
    time: str
    stream: int
    data: bytes
    part: int

    @property
    def ends_line(self) -> bool:
        """Whether the line is complete."""
        return self.data.endswith(b"\n")

    @property
    def name(self) -> str:
        """What a cursor calls it."""
        part = "" if self.ends_line else f"+{self.part}"
        return f"{self.time}/{self.stream}{part}"


async def frames(answer: ClientResponse) -> AsyncIterator[tuple[int, bytes]]:
    """Yield stream and content of the frames into which the engine packs both streams."""
    while header := await answer.content.read(1):
        header += await answer.content.readexactly(7)
        yield header[0], await answer.content.readexactly(int.from_bytes(header[4:]))


async def read_entries(
    engine: Engine, docker: Docker, container_id: str, tail: int | str
) -> AsyncGenerator[Entry]:
    """Yield the last entries of a log, or `"all"`, to its present end.

    Of a line that had begun before the first of them, the parts are numbered wrongly.
    """
    former, part, index = ["", "", ""], [0, 0, 0], 0
    options: dict[str, str | int] = {"stdout": 1, "stderr": 1, "timestamps": 1, "tail": tail}
    async with engine.get(docker, f"containers/{container_id}/logs", **options) as answer:
        async for stream, frame in frames(answer):
            stamp, _, data = frame.partition(b" ")
            moment = stamp.decode()
            part[stream] = part[stream] + 1 if moment == former[stream] else 0
            former[stream] = moment
            yield Entry(index, moment, stream, data, part[stream])
            index += 1


async def _each(entries: list[Entry]) -> AsyncGenerator[Entry]:
    for entry in entries:
        yield entry


@dataclass
class _Reader:
    """Entries behind a cursor. It stays open so that a long log is read once, not once a page.

    Attributes:
        index: the place of the entry that the cursor names.
        unfinished: the parts so far of the line of each stream.
        held: the entry to read next.
    """

    cursor: str
    entries: AsyncGenerator[Entry]
    docker: Docker | None = None
    dropped: int = 0
    used_at: float = 0.0
    ended: bool = False
    index: int = -1
    unfinished: dict[int, list[Entry]] = field(default_factory=dict)
    held: Entry | None = None

    async def close(self) -> None:
        """End the stream."""
        await self.entries.aclose()
        if self.docker is not None:
            await self.docker.close()

    async def page(self, limit: int, *, whole: bool) -> RuntimeLogPage:
        """Read up to so many lines, in the order in which they were completed.

        If the log is `whole`, because nothing runs that could add to it, the last line may lack
        its end.
        """
        lines: list[RuntimeLog] = []
        size = dropped = 0
        while len(lines) < limit and size < _PAGE_BYTES:
            entry = await self._next()
            if entry is None:
                if not (whole and self.unfinished):
                    break
                stream = min(self.unfinished)
            else:
                stream = entry.stream
            parts = self.unfinished.pop(stream, [])
            if entry is not None and (not parts or parts[0].time == entry.time):
                parts.append(entry)
                size += len(entry.data)
                if not entry.ends_line and sum(len(part.data) for part in parts) < _LINE_BYTES:
                    self.unfinished[stream] = parts
                    continue
            else:
                self.held = entry  # what began before has no end: its program was killed
            lines.append(_line(parts))
            self._go_to(parts[-1])
            dropped, self.dropped = dropped + self.dropped, 0
        self.used_at = time.monotonic()
        return RuntimeLogPage(lines=lines, cursor=self.cursor, dropped=dropped)

    def _go_to(self, entry: Entry) -> None:
        """Let the cursor name what was read: the last end of a line, and begun lines."""
        last = self.cursor.partition(",")[0]
        if entry.index > self.index:
            self.index, last = entry.index, entry.name
        begun = (parts[0] for parts in self.unfinished.values())
        self.cursor = ",".join([last, *(part.name for part in begun if part.index < self.index)])

    async def skip_to(self, cursor: str) -> bool:
        """Go to the place of a cursor; False if there is no such place any more."""
        last, *begun = cursor.split(",")
        while entry := await self._next():
            if entry.name == last:
                self.index = entry.index
                return True
            parts = self.unfinished.get(entry.stream)
            if entry.name in begun:
                self.unfinished[entry.stream] = [entry]
            elif parts and parts[0].time == entry.time:
                parts.append(entry)
        return False

    async def _next(self) -> Entry | None:
        if held := self.held:
            self.held = None
            return held
        entry = await anext(self.entries, None)
        self.ended = entry is None
        return entry


def _line(parts: list[Entry]) -> RuntimeLog:
    data = b"".join(part.data for part in parts)
    return RuntimeLog(
        time=seconds(parts[0].time),
        stream=STREAMS[parts[0].stream],
        text=data.decode("utf-8", "replace").removesuffix("\n").removesuffix("\r"),
    )


class Logs:
    """The logs of all containers, with a reader for each that is far behind."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._readers: dict[str, _Reader] = {}

    async def page(
        self, container_id: str, cursor: str, limit: int, *, whole: bool
    ) -> RuntimeLogPage:
        """Return up to `limit` lines behind the cursor; `whole` if nothing is added any more.

        The engine does not say how much a rotation took away: `dropped` is 1 for some.

        Raises:
            DockerError: the engine refused; and see `Engine.telling`.
        """
        await self._close_idle()
        kept = self._readers.pop(container_id, None)
        if kept is not None and kept.cursor != cursor:
            await kept.close()
        elif kept is not None:
            # It ends where the log ended when it was opened.
            page = await self._read(container_id, kept, limit, whole=False)
            if page.lines:
                return page
        reader = await self._open(container_id, cursor)
        return await self._read(container_id, reader, limit, whole=whole)

    async def _read(
        self, container_id: str, reader: _Reader, limit: int, *, whole: bool
    ) -> RuntimeLogPage:
        try:
            page = await reader.page(limit, whole=whole)
        except BaseException:
            await reader.close()
            raise
        # Somebody else may read the same log at the same time: one reader is kept.
        if reader.ended or self._readers.setdefault(container_id, reader) is not reader:
            await reader.close()
        return page

    async def close(self) -> None:
        """Close all readers."""
        while self._readers:
            await self._readers.popitem()[1].close()

    async def _close_idle(self) -> None:
        now = time.monotonic()
        for name, reader in list(self._readers.items()):
            if now - reader.used_at > _IDLE_SECONDS:
                self._readers.pop(name, None)
                await reader.close()

    async def _open(self, container_id: str, cursor: str) -> _Reader:
        if cursor and "+" not in cursor:  # parts of a line need all that came before
            for tail in _LOOKS:
                async with await self._engine.open() as docker:
                    entries = read_entries(self._engine, docker, container_id, tail)
                    async with aclosing(entries):
                        found = [entry async for entry in entries]
                reader = _Reader(cursor, _each(found))
                if await reader.skip_to(cursor):
                    return reader
                if len(found) < tail:
                    return _Reader(cursor, _each(found), dropped=1)
        reader = await self._open_whole(container_id, cursor)
        try:
            if not cursor or await reader.skip_to(cursor):
                return reader
        except BaseException:
            await reader.close()
            raise
        await reader.close()
        reader = await self._open_whole(container_id, cursor)
        reader.dropped = 1
        return reader

    async def _open_whole(self, container_id: str, cursor: str) -> _Reader:
        docker = await self._engine.open()
        entries = read_entries(self._engine, docker, container_id, "all")
        return _Reader(cursor, entries, docker)
