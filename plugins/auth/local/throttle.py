"""Slow down who guesses passwords."""

from __future__ import annotations

import time
from collections import OrderedDict, deque
from collections.abc import Callable, Hashable

_MOST_KEYS = 10_000


class Throttle:
    """Counts attempts per key in a sliding window, in the memory of this process.

    An attempt is counted when it begins, so that many at once do not slip through.

    Args:
        attempts: how many a key has per window.
        seconds: length of the window.
        clock: where the time comes from.
    """

    def __init__(
        self, attempts: int, seconds: float, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._attempts = attempts
        self._seconds = seconds
        self._clock = clock
        self._seen: OrderedDict[Hashable, deque[float]] = OrderedDict()

    def attempt(self, key: Hashable) -> float:
        """Count an attempt; return 0 if it may go on, else the seconds to wait."""
        now = self._clock()
        times = self._seen.setdefault(key, deque())
        self._seen.move_to_end(key)
        while times and times[0] <= now - self._seconds:
            times.popleft()
        if len(times) >= self._attempts:
            return times[0] + self._seconds - now
        times.append(now)
        if len(self._seen) > _MOST_KEYS:
            self._seen.popitem(last=False)
        return 0.0

    def forgive(self, key: Hashable) -> None:
        """Forget a key's attempts: the last one was right."""
        self._seen.pop(key, None)
