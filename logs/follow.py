"""Follow logs while they are written."""

from __future__ import annotations

import asyncio
import json
import math
import time
from collections import defaultdict, deque
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass
from functools import cached_property

from .records import LogRecord
from .store import LogStore

BATCH_RECORDS = 1000
BATCH_BYTES = 256 * 1024
TAIL_BYTES = 1024 * 1024
# A crowd gets larger frames less often: sending must leave time for storing what it waits for.
FRAMES_A_SECOND = 4000


@dataclass(frozen=True)
class LogBatch:
    """What a follower gets at once: how many records it missed, then the next ones.

    Many followers of one log share it, and what was made of it.
    """

    records: list[LogRecord]
    skipped: int = 0

    @property
    def last_seq(self) -> int:
        """The number to resume behind."""
        return self.records[-1].seq

    @property
    def is_full(self) -> bool:
        """Whether it may have been cut off."""
        size = sum(record.size for record in self.records)
        return len(self.records) >= BATCH_RECORDS or size >= BATCH_BYTES // 2

    @cached_property
    def frame(self) -> bytes:
        """The batch as a frame of the API, in JSON."""
        shown = {"records": [one.json() for one in self.records], "skipped": self.skipped}
        return json.dumps(shown, ensure_ascii=False, separators=(",", ":")).encode()


class _Tail:
    """The newest batches of a log that is followed, so that it is read once for all followers.

    Whoever keeps up finds what the first one has read. Who does not reads for itself.
    """

    def __init__(self) -> None:
        self.news: set[asyncio.Event] = set()
        self.reading = asyncio.Lock()
        self.asking = asyncio.Lock()
        self.is_over = False
        self.asked_at = self.looked_at = -math.inf
        self.looked_behind = -1
        self._batches: deque[LogBatch] = deque()
        self._bytes = 0
        self._woken_at = -math.inf
        self._waking: asyncio.TimerHandle | None = None

    def wake(self) -> None:
        """Have all followers look, and ask whether this is the end; a crowd a little later."""
        if self._waking is not None:
            return
        loop = asyncio.get_running_loop()
        pause = len(self.news) / FRAMES_A_SECOND
        self._waking = loop.call_at(max(self._woken_at + pause, loop.time()), self._wake)

    def _wake(self) -> None:
        self._waking, self._woken_at = None, asyncio.get_running_loop().time()
        self.asked_at = self.looked_at = -math.inf
        for event in self.news:
            event.set()

    def behind(self, after: int) -> LogBatch | None:
        """Return what follows a number, if it is here."""
        if not self._batches or not self._first - 1 <= after < self._batches[-1].last_seq:
            return None
        batch = next(one for one in self._batches if after < one.last_seq)
        first = batch.records[0].seq
        if after == first - batch.skipped - 1:
            return batch
        rest = batch.records[max(after - first + 1, 0) :]
        return LogBatch(rest, skipped=rest[0].seq - after - 1)

    @property
    def _first(self) -> int:
        return self._batches[0].records[0].seq - self._batches[0].skipped

    def add(self, after: int, batch: LogBatch) -> None:
        """Keep what was read behind a number, if it follows on the rest."""
        if self._batches and after != self._batches[-1].last_seq:
            return
        self._batches.append(batch)
        self._bytes += sum(record.size for record in batch.records)
        while self._bytes > TAIL_BYTES and len(self._batches) > 1:
            self._bytes -= sum(record.size for record in self._batches.popleft().records)


class LogHub:
    """Wakes the followers in this process; one per process.

    Writers call `notify`. Several calls before a follower gets to read are one to it. What
    other processes write is found by looking every `poll_seconds`, or sooner if somebody brings
    their news to `wake`.
    """

    def __init__(self, store: LogStore, *, poll_seconds: float = 0.5) -> None:
        self._store = store
        self._poll_seconds = poll_seconds
        self._tails: defaultdict[str, _Tail] = defaultdict(_Tail)
        self.relay: Callable[[str], None] = lambda log: None
        """Told what this process writes; brings it to the hubs of others."""

    def notify(self, log: str) -> None:
        """Say that this process has made a log longer, or ended it."""
        self.wake(log)
        self.relay(log)

    def wake(self, log: str) -> None:
        """Have the followers in this process look at a log."""
        if log in self._tails:
            self._tails[log].wake()

    @property
    def followers(self) -> int:
        """How many follow some log now."""
        return sum(len(tail.news) for tail in self._tails.values())

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
        news, tail = asyncio.Event(), self._tails[log]
        tail.news.add(news)
        try:
            over = False
            while True:
                news.clear()
                batch = await self._next(tail, log, after)
                if batch is not None:
                    after = batch.last_seq
                    yield batch
                elif over:
                    return
                # Asked before the last look: what was written before the end is not missed.
                elif not (over := await self._is_over(tail, ended)):
                    await _wait(news, self._poll_seconds)
        finally:
            tail.news.discard(news)
            if not tail.news and self._tails.get(log) is tail:
                del self._tails[log]

    async def _next(self, tail: _Tail, log: str, after: int) -> LogBatch | None:
        if (batch := tail.behind(after)) is not None:
            return batch
        async with tail.reading:
            # Another follower may have read it meanwhile.
            if (batch := tail.behind(after)) is not None:
                return batch
            now = time.monotonic()
            # Another follower may have found that there is nothing yet; news count again.
            if after == tail.looked_behind and now - tail.looked_at < self._poll_seconds / 2:
                return None
            # What is read by one who lags behind says nothing of the end.
            is_ahead = after >= tail.looked_behind
            if is_ahead:
                tail.looked_behind, tail.looked_at = after, now
            records = await self._store.read(log, after, BATCH_RECORDS, max_bytes=BATCH_BYTES)
            if not records:
                return None
            batch = LogBatch(records, skipped=records[0].seq - after - 1)
            tail.add(after, batch)
            # A short batch was the end of the log; behind a full one there may be more.
            if is_ahead and not batch.is_full:
                tail.looked_behind = batch.last_seq
            return batch

    async def _is_over(self, tail: _Tail, ended: Callable[[], Awaitable[bool]]) -> bool:
        """Ask once for all followers: again after news, and from time to time."""
        async with tail.asking:
            now = time.monotonic()
            if not tail.is_over and now - tail.asked_at >= self._poll_seconds / 2:
                # News that come while it is asked count again.
                tail.asked_at = now
                try:
                    tail.is_over = await ended()
                except BaseException:
                    tail.asked_at = -math.inf
                    raise
                # The last look comes after the question.
                tail.looked_at = -math.inf
        return tail.is_over


async def _wait(event: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        pass
