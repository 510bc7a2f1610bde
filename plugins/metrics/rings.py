"""Series in three resolutions, each a ring of packed chunks: as much as fits, for ever.

A service takes at most 46 rows. What is written is added to what a row has, so that a process that
is killed loses what it has not written and nothing else.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from tortoise.transactions import in_transaction

from .models import Chunk
from .points import Point, decode, encode, merge

_ROWS_AT_ONCE = 300


@dataclass(frozen=True, slots=True)
class Resolution:
    """One ring.

    Attributes:
        name: of the range that it is for.
        step: seconds between two points.
        places: points of a chunk.
        chunks: rows of the ring: those of the range, and the one that is being written.
    """

    name: str
    step: int
    places: int
    chunks: int

    @property
    def span(self) -> int:
        """Seconds of the range."""
        return self.step * self.places * (self.chunks - 1)

    def chunk_of(self, time: int) -> tuple[int, int]:
        """Return the number in the ring, and the start, of the chunk of a time."""
        length = self.step * self.places
        return time // length % self.chunks, time // length * length


RESOLUTIONS = (
    Resolution("hour", 5, 60, 13),
    Resolution("day", 60, 60, 25),
    Resolution("week", 900, 96, 8),
)
BY_NAME = {one.name: one for one in RESOLUTIONS}
Pending = dict[str, dict[tuple[Resolution, int], Point]]
"""Points that are not written yet, by service, resolution and time."""


def note(pending: Pending, service_id: str, time: int, point: Point) -> None:
    """Add a measurement to what is to be written."""
    mine = pending.setdefault(service_id, {})
    for resolution in RESOLUTIONS:
        key = resolution, time // resolution.step * resolution.step
        mine[key] = merge(mine[key], point) if key in mine else point


async def write(pending: Pending, services: Collection[str]) -> None:
    """Write what is pending of some services, in few transactions; it is pending no more."""
    parts: list[str] = []
    rows = 0
    for service_id in services:
        if service_id in pending:
            parts.append(service_id)
            rows += len(RESOLUTIONS)
        if rows >= _ROWS_AT_ONCE:
            await _write_some(pending, parts)
            parts, rows = [], 0
    if parts:
        await _write_some(pending, parts)


async def _write_some(pending: Pending, services: Iterable[str]) -> None:
    wanted: defaultdict[tuple[str, str, int], dict[int, Point]] = defaultdict(dict)
    taken = {service_id: pending.pop(service_id) for service_id in services}
    try:
        for service_id, points in taken.items():
            for (resolution, time), point in points.items():
                number, start = resolution.chunk_of(time)
                id = f"{service_id}:{resolution.name}:{number}"
                wanted[id, service_id, start][(time - start) // resolution.step] = point
        async with in_transaction():
            known = {row.id: row for row in await Chunk.filter(id__in=[key[0] for key in wanted])}
            made: dict[str, Chunk] = {}
            # The newest last: of two rounds of a ring only that one stays.
            for (id, service_id, start), new in sorted(wanted.items()):
                row = known.get(id)
                kept = decode(bytes(row.data)) if row and row.start == start else {}
                for place, point in new.items():
                    kept[place] = merge(kept[place], point) if place in kept else point
                data = encode(kept)
                if row is not None and row.start > start:
                    continue  # the clock was set back: what is newer stays
                made[id] = Chunk(id=id, service_id=service_id, start=start, data=data)
            await Chunk.bulk_create(
                made.values(), on_conflict=["id"], update_fields=["service_id", "start", "data"]
            )
    except BaseException:
        for service_id, points in taken.items():
            _put_back(pending, service_id, points)
        raise


def _put_back(
    pending: Pending, service_id: str, points: Mapping[tuple[Resolution, int], Point]
) -> None:
    mine = pending.setdefault(service_id, {})
    for key, point in points.items():
        mine[key] = merge(mine[key], point) if key in mine else point


async def read(
    services: Collection[str], resolution: Resolution, *, since: int
) -> dict[str, dict[int, Point]]:
    """Return the points of services from a time on, by service and time, in order."""
    ids = [f"{one}:{resolution.name}:{n}" for one in services for n in range(resolution.chunks)]
    length = resolution.step * resolution.places
    found: dict[str, dict[int, Point]] = {service_id: {} for service_id in services}
    rows = Chunk.filter(id__in=ids, start__gt=since - length).order_by("start")
    for row in await rows:
        for place, point in decode(bytes(row.data)).items():
            time = row.start + place * resolution.step
            if time >= since:
                found[row.service_id][time] = point
    return found
