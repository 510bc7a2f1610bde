"""Number records and store them in batches, behind callers that cannot wait."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace

from .records import PLATFORM, LogRecord
from .store import LogStore, SequenceTaken

_BATCH_SECONDS = 0.05
_BATCH_BYTES = 64 * 1024
_BATCH_RECORDS = 1000
_BACKLOG_BYTES = 4 * 1024 * 1024
_FIRST_PAUSE = 0.1
_LONGEST_PAUSE = 5.0

logger = logging.getLogger(__name__)


class BatchWriter:
    """A bounded queue in front of one log, and the task that empties it.

    When the store fails, the same batch is tried until it is stored, while the queue fills up
    to its limit; what does not fit is dropped, and the log tells how many lines that were.
    """

    def __init__(
        self, store: LogStore, log: str, *, last_seq: int, notify: Callable[[str], None]
    ) -> None:
        self._store = store
        self._log = log
        self._last_seq = last_seq
        self._notify = notify
        self._queue: deque[LogRecord] = deque()
        self._queued_bytes = 0
        self._lost = 0
        self._added = 0
        self._stored = 0
        self._lock = threading.Lock()
        self._thread = threading.get_ident()
        self._loop = asyncio.get_running_loop()
        self._work = asyncio.Event()
        self._hurry = asyncio.Event()
        self._moved = asyncio.Condition()
        self._stopped = False
        self._task = asyncio.create_task(self._run(), name=f"log {log}")

    def add(self, record: LogRecord) -> None:
        """Queue a record; its number is given when it is stored."""
        with self._lock:
            if self._queued_bytes >= _BACKLOG_BYTES:
                self._lost += 1
                return
            self._queue.append(record)
            self._queued_bytes += record.size
            self._added += 1
        if not self._work.is_set():
            self._wake(self._work)
        if self._queued_bytes >= _BATCH_BYTES and not self._hurry.is_set():
            self._wake(self._hurry)

    async def flush(self) -> None:
        """Wait until everything added before this call is stored."""
        target = self._added
        if self._stored >= target:
            return
        self._hurry.set()
        async with self._moved:
            await self._moved.wait_for(lambda: self._stored >= target or self._stopped)

    async def close(self, seconds: float) -> None:
        """Store what is left, if that is possible in so many seconds, and stop."""
        try:
            async with asyncio.timeout(seconds):
                await self.flush()
                while self._lost:
                    self._tell_lost()
                    await self.flush()
        except TimeoutError:
            logger.error("%s: %d lines could not be stored", self._log, self._added - self._stored)
        finally:
            self._stopped = True
            self._task.cancel()
            async with self._moved:
                self._moved.notify_all()

    def _wake(self, event: asyncio.Event) -> None:
        if threading.get_ident() == self._thread:
            event.set()
        else:
            self._loop.call_soon_threadsafe(event.set)

    async def _run(self) -> None:
        while True:
            await self._work.wait()
            try:
                async with asyncio.timeout(_BATCH_SECONDS):
                    await self._hurry.wait()
            except TimeoutError:
                pass
            self._work.clear()
            self._hurry.clear()
            while batch := self._next_batch():
                await self._keep(batch)
                self._forget(batch)
                self._notify(self._log)
                async with self._moved:
                    self._moved.notify_all()
            self._tell_lost()

    def _next_batch(self) -> list[LogRecord]:
        batch: list[LogRecord] = []
        size = 0
        with self._lock:
            for record in self._queue:
                batch.append(record)
                size += record.size
                if size >= _BATCH_BYTES or len(batch) >= _BATCH_RECORDS:
                    break
        return batch

    async def _keep(self, batch: Sequence[LogRecord]) -> None:
        pause = _FIRST_PAUSE
        taken = False
        while True:
            try:
                if taken:
                    self._last_seq = await self._store.last_seq(self._log)
                    taken = False
                numbered = [
                    replace(record, seq=seq) for seq, record in enumerate(batch, self._last_seq + 1)
                ]
                await self._store.append(self._log, numbered)
            except SequenceTaken:
                # A worker that lost its lease has not noticed yet. Nobody's lines are lost.
                taken = True
            except Exception as error:
                logger.warning("%s: storing failed, trying again: %s", self._log, error)
                await asyncio.sleep(pause)
                pause = min(2 * pause, _LONGEST_PAUSE)
            else:
                self._last_seq += len(batch)
                return

    def _forget(self, batch: Sequence[LogRecord]) -> None:
        with self._lock:
            for record in batch:
                self._queue.popleft()
                self._queued_bytes -= record.size
            self._stored += len(batch)

    def _tell_lost(self) -> None:
        with self._lock:
            lost, self._lost = self._lost, 0
        if lost:
            text = f"… {lost} lines were dropped: they came faster than they could be stored"
            self.add(LogRecord(0, time.time(), PLATFORM, "", text))
