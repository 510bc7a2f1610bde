"""Whether the server is there: told once when it goes and once when it is back."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import TypeVar

from redis.exceptions import RedisError

Item = TypeVar("Item")
FAILURES = (RedisError, OSError, TimeoutError)
"""What a Redis that is away, starting or full makes the client raise."""
_FIRST_PAUSE = 0.25
_LONGEST_PAUSE = 5.0
_log = logging.getLogger(__name__)


class Reach:
    """The state of the connections to one server.

    Args:
        address: the server as people know it, without a password.
    """

    def __init__(self, address: str) -> None:
        self.address = address
        self._is_lost = False

    def lost(self, error: BaseException) -> None:
        """Note that the server did not do what was asked."""
        if not self._is_lost:
            self._is_lost = True
            _log.warning(
                "Redis at %s is away (%s); workers look for work by themselves until it is back",
                self.address,
                str(error) or type(error).__name__,
            )

    def found(self) -> None:
        """Note that the server answered."""
        if self._is_lost:
            self._is_lost = False
            _log.warning("Redis at %s is back", self.address)

    async def forever(
        self, make: Callable[[], AsyncGenerator[Item | None, None]]
    ) -> AsyncGenerator[Item, None]:
        """Yield from one generator after the other, each ended by a failure of the server.

        Args:
            make: makes a generator; what it yields, None too, proves that the server answers.
        """
        pause = _FIRST_PAUSE
        while True:
            try:
                async with aclosing(make()) as items:
                    async for item in items:
                        self.found()
                        pause = _FIRST_PAUSE
                        if item is not None:
                            yield item
            except FAILURES as error:
                self.lost(error)
            # Processes that lost it together do not all come back at the same moment.
            await asyncio.sleep(pause * random.uniform(0.8, 1.2))  # noqa: S311 - no secret
            pause = min(pause * 2, _LONGEST_PAUSE)
