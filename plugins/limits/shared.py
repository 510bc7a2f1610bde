"""Hits that all processes count together, in Redis."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import cast

from limits.aio.storage import RedisStorage
from limits.aio.storage.redis.redispy import RedispyBridge

from helvetia.plugins.together import Together

_Hit = tuple[str, int, int]
# The scripts of the library, for many hits at once: each says whether it is within its limit, and
# what its two windows hold then.
_SCRIPT = f"""
local function acquire(KEYS, ARGV)
{RedispyBridge.SCRIPT_ACQUIRE_SLIDING_WINDOW.decode()}
end
local function window(KEYS, ARGV)
{RedispyBridge.SCRIPT_SLIDING_WINDOW.decode()}
end
local told = {{}}
for place = 1, #KEYS, 2 do
    local keys = {{KEYS[place], KEYS[place + 1]}}
    local limit, expiry = ARGV[place], ARGV[place + 1]
    told[#told + 1] = acquire(keys, {{limit, expiry, 1}}) and 1 or 0
    local found = window(keys, {{expiry}})
    for k = 1, 4 do
        told[#told + 1] = tonumber(found[k] or 0)
    end
end
return told
"""
_TOLD = 5


class SharedStorage(RedisStorage):
    """Counts all hits that come at once, and asks what is left, by one question to Redis.

    What is left is known for whoever asks right after the hit.

    Args:
        redis: its URL.
        prefix: begins the names of all keys.
        seconds: how long it may take.
    """

    def __init__(self, redis: str, *, prefix: str, seconds: float) -> None:
        super().__init__(
            f"async+{redis}", implementation="redispy", key_prefix=prefix,
            socket_timeout=seconds, socket_connect_timeout=seconds,
        )  # fmt: skip
        self._seconds = seconds
        self._bridge = cast(RedispyBridge, self.bridge)
        self._script = self._bridge.get_connection().register_script(_SCRIPT.encode())
        self._hits: Together[_Hit, Sequence[int]] = Together(self._count)
        self._windows: dict[str, tuple[int, float, int, float]] = {}

    async def acquire_sliding_window_entry(
        self, key: str, limit: int, expiry: int, amount: int = 1
    ) -> bool:
        """Count a hit, unless it is one too many."""
        del amount
        is_within, previous, previous_ms, current, current_ms = await self._hits.do(
            "", (key, limit, expiry)
        )
        # A window that begins with this hit has not a moment behind it: to the library it is over.
        seconds = [max(0, ms - 1) / 1000 for ms in (previous_ms, current_ms)]
        self._windows[key] = (previous, seconds[0], current, seconds[1])
        return bool(is_within)

    async def get_sliding_window(self, key: str, expiry: int) -> tuple[int, float, int, float]:
        """Return counts and seconds of both windows, as the hit has left them."""
        del expiry
        return self._windows.pop(key)

    async def _count(self, _: str, hits: Sequence[_Hit]) -> list[Sequence[int] | Exception]:
        keys, limits = list[str](), list[int]()
        for key, limit, expiry in hits:
            names = (self._previous_window_key(key), self._current_window_key(key))
            keys += map(self._bridge.prefixed_key, names)
            limits += (limit, expiry)
        try:
            async with asyncio.timeout(self._seconds):
                told = await self._script(keys, limits)
        except Exception as error:
            return [error for _ in hits]
        return [told[place : place + _TOLD] for place in range(0, len(told), _TOLD)]
