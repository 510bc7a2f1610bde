"""Write one log: mask, join to lines, hand on to be stored."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from typing import Self

from helvetia.masking import RedactedStream, Redactor

from .batches import BatchWriter
from .lines import LineJoiner, clean_lines
from .quota import Quota
from .records import PLATFORM, LogRecord
from .store import LogStore

DEPLOYMENT_LOG_BYTES = 10 * 1024 * 1024
"""How much program output the log of a deployment keeps, unless a setting says otherwise."""

_CLOSE_SECONDS = 10.0


class LogWriter:
    """The only writer of one log; a `LogSink`. Make it with `open`.

    `line`, `write` and `stage` never wait and may be used from any thread. What the writer holds
    is bounded: when the log is full or the store cannot keep up, lines are dropped and the log
    says how many.
    """

    def __init__(self, batches: BatchWriter, redactor: Redactor, quota: Quota) -> None:
        self._batches = batches
        self._redactor = redactor
        self._quota = quota
        self._stage = ""
        self._channels: dict[str, tuple[RedactedStream, LineJoiner]] = {}
        self._closed = False
        self._lock = threading.RLock()

    @classmethod
    async def open(
        cls,
        store: LogStore,
        log: str,
        *,
        redactor: Redactor,
        notify: Callable[[str], None],
        max_bytes: int | None = DEPLOYMENT_LOG_BYTES,
    ) -> Self:
        """Continue a log behind its last record. Never call this inside a transaction.

        Args:
            store: where the log is kept.
            log: its name, as `deployment:<id>`.
            redactor: the secrets to mask.
            notify: told the name whenever the log has grown; usually `LogHub.notify`.
            max_bytes: how much program output the log may hold; None is no limit.
        """
        last_seq = await store.last_seq(log)
        used = await store.size(log) if last_seq and max_bytes is not None else 0
        batches = BatchWriter(store, log, last_seq=last_seq, notify=notify)
        return cls(batches, redactor, Quota(max_bytes, used))

    @property
    def stage(self) -> str:
        """The stage that lines belong to from now on; a new one ends the output so far."""
        return self._stage

    @stage.setter
    def stage(self, stage: str) -> None:
        with self._lock:
            if stage != self._stage:
                self.end_output()
                self._stage = stage

    def mask(self, secrets: Iterable[str]) -> None:
        """Mask these values as well from now on."""
        with self._lock:
            self.end_output()
            self._redactor = self._redactor.extended(secrets)

    def masked(self, text: str) -> str:
        """Return a text as this log would show it, for the places beside the log that tell it."""
        return self._redactor.text(text)

    def line(self, text: str) -> None:
        """Append what the platform says; several lines if there are newlines in it."""
        with self._lock:
            if self._closed:
                return
            # Unfinished lines first, so that this stands behind what a person saw before.
            for stream, (_, joiner) in self._channels.items():
                self._output(joiner.flush(), stream)
            self._tell_overflow()
            for part in clean_lines(self._redactor.text(text)):
                record = self._record(part, PLATFORM)
                if self._quota.admits_notice(record):
                    self._batches.add(record)

    def write(self, data: bytes, stream: str = "stdout") -> None:
        """Append raw output of a program, in any chunks."""
        with self._lock:
            if self._closed:
                return
            if stream not in self._channels:
                self._channels[stream] = (self._redactor.stream(), LineJoiner())
            masked, joiner = self._channels[stream]
            self._output(joiner.feed(masked.feed(data)), stream)

    def end_output(self) -> None:
        """Say that the programs that wrote until now have ended: give out what is held back."""
        with self._lock:
            for stream, (masked, joiner) in self._channels.items():
                self._output(joiner.feed(masked.flush()) + joiner.flush(), stream)
            self._channels.clear()

    async def flush(self) -> None:
        """Wait until every line complete before this call is stored."""
        await self._batches.flush()

    async def close(self) -> None:
        """Give out and store what is left; what comes later is ignored.

        It is tried for ten seconds; the caller never hangs on a store that is away.
        """
        with self._lock:
            if self._closed:
                return
            self.end_output()
            self._tell_overflow(final=True)
            self._closed = True
        await self._batches.close(_CLOSE_SECONDS)

    def _record(self, text: str, stream: str) -> LogRecord:
        return LogRecord(0, time.time(), stream, self._stage, text)

    def _output(self, lines: list[str], stream: str) -> None:
        for line in lines:
            record = self._record(line, stream)
            if self._quota.admits(record):
                self._batches.add(record)

    def _tell_overflow(self, *, final: bool = False) -> None:
        notice, tail = self._quota.overflow(final=final)
        if notice:
            self._batches.add(self._record(notice, PLATFORM))
        for record in tail:
            self._batches.add(record)
