"""The log of one instance: that of its service, without the lines of the others."""

from __future__ import annotations

from collections.abc import Iterable

from helvetia.logs.records import LogRecord
from helvetia.logs.store import LogStore

_MARK = 4
"""How many digits of the id of an instance its lines have: `r3.7f2a` is one of release 3."""

_WINDOW = 1000


def only(records: Iterable[LogRecord], instance: str) -> list[LogRecord]:
    """Return the records that an instance wrote; of its id the first four digits suffice."""
    mark = f".{instance[:_MARK]}"
    return [one for one in records if one.stage.endswith(mark)]


async def read(
    store: LogStore, log: str, instance: str, *, after: int, limit: int, max_bytes: int
) -> tuple[list[LogRecord], int, int]:
    """Return records behind `after`, the number up to which was looked, and how many are gone."""
    found: list[LogRecord] = []
    gone = size = 0
    while len(found) < limit and size < max_bytes:
        records = await store.read(log, after, _WINDOW, max_bytes=max_bytes)
        if not records:
            break
        gone += records[0].seq - after - 1
        wanted = only(records, instance)[: limit - len(found)]
        found += wanted
        size += sum(one.size for one in wanted)
        is_cut = len(found) == limit
        after = found[-1].seq if is_cut else records[-1].seq
    return found, after, gone


async def tail(store: LogStore, log: str, instance: str, n: int) -> tuple[list[LogRecord], int]:
    """Return the last `n` records, and the number of the log's last one."""
    last = end = await store.last_seq(log)
    found: list[LogRecord] = []
    while end > 0 and len(found) < n:
        begin = max(0, end - _WINDOW)
        records = [one for one in await store.read(log, begin, end - begin) if one.seq <= end]
        if not records:
            # What was written before is not kept any more.
            break
        found = only(records, instance) + found
        end = begin
    return found[-n:], last
