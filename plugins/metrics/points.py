"""One point of a series: twenty numbers that can be added to those of the next one.

What could not be measured is NaN, which is something else than nothing.
"""

from __future__ import annotations

import math
import zlib
from array import array
from collections.abc import Mapping, Sequence

FIELDS = (
    "seconds", "cpu_seconds", "memory_bytes", "processes", "received_bytes", "sent_bytes",
    "restarts", "informed", "moved", "refused", "failed",
)  # fmt: skip
BOUNDS = (0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, math.inf)
"""Upper bounds in seconds of the counts of answers that follow the fields."""
SIZE = len(FIELDS) + len(BOUNDS)
SECONDS, CPU, MEMORY, PROCESSES, RECEIVED, SENT, RESTARTS = range(7)
STATUSES = {2: 7, 3: 8, 4: 9, 5: 10}
"""Where the answers of each class of statuses are counted."""
_HIGHEST = (MEMORY, PROCESSES)
Point = list[float]


def unknown() -> Point:
    """Return a point of which nothing is known."""
    return [math.nan] * SIZE


def merge(one: Sequence[float], other: Sequence[float]) -> Point:
    """Return both together: sums, and the highest of what is a level."""
    merged = [
        b if math.isnan(a) else a if math.isnan(b) else a + b
        for a, b in zip(one, other, strict=True)
    ]
    for at in _HIGHEST:
        if not (math.isnan(one[at]) or math.isnan(other[at])):
            merged[at] = max(one[at], other[at])
    return merged


def encode(points: Mapping[int, Sequence[float]]) -> bytes:
    """Pack points by their places in a chunk; mostly equal, they become small."""
    numbers = array("f")
    for place in sorted(points):
        numbers.append(place)
        numbers.extend(points[place])
    return zlib.compress(numbers.tobytes(), 1)


def decode(data: bytes) -> dict[int, Point]:
    """Unpack what `encode` has packed."""
    numbers = array("f")
    numbers.frombytes(zlib.decompress(data))
    width = SIZE + 1
    return {
        int(numbers[at]): list(numbers[at + 1 : at + width]) for at in range(0, len(numbers), width)
    }


def percentile(counts: Sequence[float], share: float) -> float | None:
    """Return the seconds within which a share of the answers came, None if there were none.

    Between two bounds it is a straight line; behind the last one it is that one.
    """
    total = sum(counts)
    if not total > 0:
        return None
    wanted, below, lower = total * share, 0.0, 0.0
    for bound, count in zip(BOUNDS, counts, strict=True):
        if count and below + count >= wanted:
            if math.isinf(bound):
                return lower
            return lower + (bound - lower) * (wanted - below) / count
        below += count
        lower = lower if math.isinf(bound) else bound
    return lower
