"""Count hits, in Redis for all processes together or, without it, in this one."""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import dataclass

from limits import RateLimitItem
from limits.aio.storage import MemoryStorage
from limits.aio.strategies import SlidingWindowCounterRateLimiter

_SECONDS = 0.25
_REST_SECONDS = 5.0
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Count:
    """What a hit showed.

    Attributes:
        whole_at: when nothing is counted any more, in seconds since the epoch.
    """

    is_over: bool
    remaining: int
    whole_at: float


class Counters:
    """Counts in sliding windows.

    While Redis is away each process counts for itself, and looks for Redis every few seconds.

    Args:
        redis: URL; "" counts in this process.
        prefix: begins the names of all keys.
    """

    def __init__(self, redis: str, *, prefix: str) -> None:
        self._here = SlidingWindowCounterRateLimiter(MemoryStorage())
        self._shared: SlidingWindowCounterRateLimiter | None = None
        self._rest_until = 0.0
        self._failures: tuple[type[Exception], ...] = (OSError, TimeoutError)
        if redis:
            # Imported when needed: the client of Redis takes a while.
            from redis.exceptions import RedisError

            from .shared import SharedStorage

            self._failures += (RedisError,)
            storage = SharedStorage(redis, prefix=prefix, seconds=_SECONDS)
            self._shared = SlidingWindowCounterRateLimiter(storage)

    async def hit(self, rate: RateLimitItem, *key: str) -> Count:
        """Count a hit, unless it is one too many."""
        if self._shared is not None and time.monotonic() >= self._rest_until:
            try:
                async with asyncio.timeout(_SECONDS):
                    return await _hit(self._shared, rate, *key)
            except self._failures as error:
                if not self._rest_until:
                    _log.warning("limits count by process while Redis is away: %s", error)
                self._rest_until = time.monotonic() + _REST_SECONDS
        return await _hit(self._here, rate, *key)


async def _hit(limiter: SlidingWindowCounterRateLimiter, rate: RateLimitItem, *key: str) -> Count:
    is_within = await limiter.hit(rate, *key)
    stats = await limiter.get_window_stats(rate, *key)
    return Count(
        is_over=not is_within, remaining=max(0, stats.remaining), whole_at=stats.reset_time
    )
