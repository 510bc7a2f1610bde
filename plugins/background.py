"""Work that is kept in the database and done in the background of this process."""

from __future__ import annotations

import asyncio
import logging
from abc import ABC, abstractmethod

_log = logging.getLogger(__name__)


class Background(ABC):
    """Does what is due whenever it is woken; one round at a time.

    Args:
        what: it does, for the log.
    """

    def __init__(self, what: str) -> None:
        self._what = what
        self._task: asyncio.Task[None] | None = None
        self._again = False

    @abstractmethod
    async def round(self) -> bool:
        """Do what is due now; tell whether more may be."""

    def wake(self) -> None:
        """Look now whether something is due; returns at once."""
        self._again = True
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._work())

    async def settled(self) -> None:
        """Wait until nothing is due any more."""
        if self._task is not None:
            await asyncio.wait([self._task])

    async def _work(self) -> None:
        try:
            while self._again:
                self._again = False
                if await self.round():
                    self._again = True
        except Exception as error:
            # The database is away, or the process ends: what is due is found later.
            _log.warning("%s waits: %s", self._what, error)
