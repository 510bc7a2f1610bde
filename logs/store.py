"""Keep logs in the database, many records to a row."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from tortoise.exceptions import IntegrityError
from tortoise.functions import Sum
from tortoise.queryset import QuerySet

from .models import LogSegment
from .records import LogRecord, decode, encode

Span = tuple[int, int, int]
"""First number, last number and size of a segment."""

_TRIM_PAGE = 500


class SequenceTaken(Exception):
    """Another writer has continued the log."""


class LogStore:
    """Appends to and reads from logs; holds nothing in memory.

    Every method is a few single statements and no transaction, so that being cancelled at any
    of them does no harm.
    """

    async def append(self, log: str, records: Sequence[LogRecord], *, cursor: str = "") -> None:
        """Add records that follow the log's last one, and how far a runtime's log was read.

        All of them are stored or none. One call makes one row: a few hundred records are a
        good measure. Repeating a call whose outcome is unknown stores nothing twice.

        Raises:
            ValueError: the records' numbers have gaps.
            SequenceTaken: somebody else wrote these numbers.
        """
        if not records:
            return
        first, last = records[0].seq, records[-1].seq
        if first < 1 or any(record.seq != seq for seq, record in enumerate(records, first)):
            raise ValueError(f"the records of {log} are not numbered one after the other")
        raw = encode(records).encode("utf-8", "replace")
        data = raw.decode()
        segment = LogSegment(
            log=log, first_seq=first, last_seq=last, bytes=len(raw), cursor=cursor, data=data
        )
        try:
            await segment.save(force_create=True)
        except IntegrityError as error:
            stored = await LogSegment.get_or_none(log=log, first_seq=first)
            if stored is None or (stored.data, stored.cursor) != (data, cursor):
                raise SequenceTaken(f"{log} has been continued by another writer") from error

    async def read(
        self, log: str, after: int, limit: int, *, max_bytes: int | None = None
    ) -> list[LogRecord]:
        """Return up to `limit` records behind number `after`, oldest first.

        Fewer than `limit` mean the end of the log, unless `max_bytes` is set: then it stops
        short of so many bytes, but returns at least one record if there is one.
        """
        if limit < 1:
            return []
        query = LogSegment.filter(log=log, last_seq__gt=after).order_by("last_seq").limit(limit)
        spans = await self._spans(query)
        if not spans:
            return []
        wanted = _enough(spans, after=after, limit=limit, max_bytes=max_bytes)
        records = await self._load(log, wanted[0][0], wanted[-1][0])
        if not records:
            # They were trimmed between the two queries.
            return await self.read(log, after, limit, max_bytes=max_bytes)
        start = max(0, after + 1 - records[0].seq)
        records = records[start : start + limit]
        return records if max_bytes is None else _cut(records, max_bytes)

    async def tail(self, log: str, n: int) -> list[LogRecord]:
        """Return the last `n` records, oldest first."""
        if n < 1:
            return []
        spans = await self._spans(LogSegment.filter(log=log).order_by("-last_seq").limit(n))
        if not spans:
            return []
        newest = spans[0][1]
        wanted = [span for span in spans if span[1] > newest - n]
        return (await self._load(log, wanted[-1][0], wanted[0][0]))[-n:]

    async def last_seq(self, log: str) -> int:
        """Return the number of the last record, 0 if there is none."""
        spans = await self._spans(LogSegment.filter(log=log).order_by("-last_seq").limit(1))
        return spans[0][1] if spans else 0

    async def last_cursor(self, log: str) -> str:
        """Return the cursor that was stored last, "" if there is none."""
        query = LogSegment.filter(log=log).exclude(cursor="").order_by("-last_seq").limit(1)
        cursors = cast("list[str]", await query.values_list("cursor", flat=True))
        return cursors[0] if cursors else ""

    async def size(self, log: str) -> int:
        """Return how many bytes the log takes."""
        rows = await LogSegment.filter(log=log).annotate(total=Sum("bytes")).values_list("total")
        return int(rows[0][0] or 0) if rows else 0

    async def delete(self, log: str) -> None:
        """Remove a log; quiet if there is none."""
        await LogSegment.filter(log=log).delete()

    async def trim(self, log: str, max_bytes: int) -> int:
        """Remove the oldest segments until the log takes at most so many bytes.

        The newest segment always stays: it tells where to go on. Returns how many records are
        gone; readers that had not come so far see it in the numbers.
        """
        excess = await self.size(log) - max_bytes
        removed = 0
        while excess > 0:
            page = await self._spans(
                LogSegment.filter(log=log).order_by("first_seq").limit(_TRIM_PAGE + 1)
            )
            until = 0
            # The last of a page is left alone: it may be the newest of the log.
            for first, last, size in page[:-1]:
                if excess <= 0:
                    break
                excess -= size
                removed += last - first + 1
                until = last
            if not until:
                break
            await LogSegment.filter(log=log, last_seq__lte=until).delete()
        return removed

    async def _spans(self, query: QuerySet[LogSegment]) -> list[Span]:
        rows = await query.values_list("first_seq", "last_seq", "bytes")
        return cast("list[Span]", rows)

    async def _load(self, log: str, first: int, last: int) -> list[LogRecord]:
        query = LogSegment.filter(log=log, first_seq__gte=first, first_seq__lte=last)
        rows = await query.order_by("first_seq").values_list("first_seq", "data")
        return [record for seq, data in rows for record in decode(data, seq)]


def _enough(spans: list[Span], *, after: int, limit: int, max_bytes: int | None) -> list[Span]:
    """Return as many of the segments as hold `limit` records, or about `max_bytes`."""
    wanted: list[Span] = []
    total = 0
    for span in spans:
        if wanted and max_bytes is not None and total + span[2] > max_bytes:
            break
        wanted.append(span)
        total += span[2]
        if span[1] - after >= limit:
            break
    return wanted


def _cut(records: list[LogRecord], max_bytes: int) -> list[LogRecord]:
    """Leave out what goes beyond `max_bytes`, but never the first record."""
    total = 0
    for count, record in enumerate(records):
        total += record.size
        if total > max_bytes and count:
            return records[:count]
    return records
