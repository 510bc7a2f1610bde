"""Follow logs while they are written."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass

from .records import LogRecord
from .store import LogStore

BATCH_RECORDS = 1000
BATCH_BYTES = 256 * 1024


@dataclass(frozen=True, slots=True)
class LogBatch:
    """What a follower gets at once: how many records it missed, then the next ones."""

    records: list[LogRecord]
    skipped: int = 0

    @property
    def last_seq(self) -> int:
        """The number to resume behind."""
        return self.records[-1].seq


class LogHub:
    """Wakes the followers in this process; one per process.

    Writers call `notify`. Several calls before a follower gets to read are one to it. What
    other processes write is found by looking every `poll_seconds`, or sooner if somebody brings
    their news to `wake`.
    """

    def __init__(self, store: LogStore, *, poll_seconds: float = 0.5) -> None:
        self._store = store
        self._poll_seconds = poll_seconds
        self._followers: defaultdict[str, set[asyncio.Event]] = defaultdict(set)
        self.relay: Callable[[str], None] = lambda log: None
        """Told what this process writes; brings it to the hubs of others."""

    def notify(self, log: str) -> None:
        """Say that this process has made a log longer, or ended it."""
        self.wake(log)
        self.relay(log)

    def wake(self, log: str) -> None:
        """Have the followers in this process look at a log."""
        for event in self._followers.get(log, ()):
            event.set()

    @property
    def followers(self) -> int:
        """How many follow some log now."""
        return sum(map(len, self._followers.values()))

    async def follow(
        self, log: str, after: int, *, ended: Callable[[], Awaitable[bool]]
    ) -> AsyncGenerator[LogBatch, None]:
        """Yield everything behind number `after`, until the log has ended and all was delivered.

        Between two batches it holds a number and an event. Close it (`contextlib.aclosing`)
        when you stop early, and do not use it inside a transaction.

        Args:
            log: name of the log.
            after: number of the last record the reader has; 0 for none.
            ended: tells whether the log's writer has closed it for good.
        """
        after = max(after, 0)
        news = asyncio.Event()
        self._followers[log].add(news)
        try:
            over = False
            while True:
                news.clear()
                batch = await self._next(log, after)
                if batch is not None:
                    after = batch.last_seq
                    yield batch
                elif over:
                    return
                # Asked before the last look: what was written before the end is not missed.
                elif not (over := await ended()):
                    await _wait(news, self._poll_seconds)
        finally:
            self._leave(log, news)

    async def _next(self, log: str, after: int) -> LogBatch | None:
        records = await self._store.read(log, after, BATCH_RECORDS, max_bytes=BATCH_BYTES)
        if not records:
            return None
        return LogBatch(records, skipped=records[0].seq - after - 1)

    def _leave(self, log: str, news: asyncio.Event) -> None:
        self._followers[log].discard(news)
        if not self._followers[log]:
            del self._followers[log]


async def _wait(event: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        pass
