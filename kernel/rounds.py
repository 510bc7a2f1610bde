"""Work that is looked for again and again: often while there is some, else seldom."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable

_BREATH_SECONDS = 0.1
_LONGEST_SECONDS = 30.0
_log = logging.getLogger(__name__)


class Rounds:
    """Repeats one piece of work. Who knows of new work wakes it; the rounds are the safety net.

    Args:
        work: returns whether there was anything to do.
        quick: seconds between two rounds while there is something to do.
        slow: while there is nothing; a little more or less, so that processes do not march in
            step.
    """

    def __init__(self, work: Callable[[], Awaitable[bool]], *, quick: float, slow: float) -> None:
        self._work = work
        self._quick = quick
        self._slow = slow
        self._woken = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin with a first round at once."""
        self._task = asyncio.create_task(self._forever())

    def wake(self) -> None:
        """Have the next round begin now."""
        self._woken.set()

    async def stop(self) -> None:
        """Break off."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def _forever(self) -> None:
        pause = self._quick
        while True:
            self._woken.clear()
            try:
                found = await self._work()
                pause = self._quick if found else min(pause * 2, self._slow)
            except Exception:
                _log.exception("%s", getattr(self._work, "__name__", "work"))
                pause = min(pause * 2, _LONGEST_SECONDS)
            await self._rest(pause * random.uniform(0.9, 1.1))  # noqa: S311 - no secret

    async def _rest(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._woken.wait()
        except TimeoutError:
            return
        # However often it is woken, the rest of the process gets its turn.
        await asyncio.sleep(_BREATH_SECONDS)
