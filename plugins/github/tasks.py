"""What is to be done at GitHub: kept in the database until it is done, however often GitHub fails.

Nothing waits for it. It is done one by one in the background, again and again with growing
pauses, and given up after a day; what is looked after for as long as it is there never is.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Mapping
from datetime import timedelta
from typing import Any

from tortoise.exceptions import IntegrityError
from tortoise.expressions import F, Q

from helvetia.kernel.errors import HelvetiaError
from helvetia.kernel.models.base import utcnow
from helvetia.plugins.background import Background

from .errors import GitHubError
from .models import Task

Handler = Callable[[Task], Awaitable[float | None]]
"""Does a task; returns after how many seconds it is due again, None if it is done."""

DONE = -1.0
"""Returned by a handler of which nothing is to be remembered."""
_SECONDS = 100.0
_CLAIMED = timedelta(seconds=120)
_FIRST_PAUSE = 15.0
_LONGEST_PAUSE = 3600.0
_GIVEN_UP_AFTER = timedelta(hours=24)
_AT_ONCE = 20
_log = logging.getLogger(__name__)


async def ask(kind: str, key: str, **data: Any) -> None:
    """Have something done soon; what was asked for under the same key is replaced by it.

    Not for use in a transaction: two who ask at once would break it.
    """
    values: dict[str, Any] = {
        "kind": kind, "data": data, "attempts": 0, "due_at": utcnow(), "created_at": utcnow(),
        "problem": "",
    }  # fmt: skip
    if await _again(key, values):
        return
    try:
        await Task.create(key=key, **values)
    except IntegrityError:
        await _again(key, values)


async def _again(key: str, values: Mapping[str, Any]) -> int:
    return await Task.filter(key=key).update(**values, wanted=F("wanted") + 1)


class Doing(Background):
    """Does what is due, in the background of this process.

    Args:
        handlers: by the kind of task.
        lasting: kinds that are never given up.
    """

    def __init__(
        self, handlers: Mapping[str, Handler], lasting: Collection[str] = frozenset()
    ) -> None:
        super().__init__("what is to be done at GitHub")
        self._handlers = handlers
        self._lasting = lasting

    async def round(self) -> bool:
        """Do what is due, one by one."""
        due = await self._due()
        for task in due:
            await self._do(task)
        return bool(due)

    async def _due(self) -> list[Task]:
        now = utcnow()
        free = Q(claimed_until__isnull=True) | Q(claimed_until__lt=now)
        due = Task.filter(free, due_at__lte=now, kind__in=list(self._handlers))
        return await due.order_by("due_at").limit(_AT_ONCE)

    async def _do(self, task: Task) -> None:
        mine = Task.filter(id=task.id, claimed_until=task.claimed_until)
        if task.claimed_until is None:
            mine = Task.filter(id=task.id, claimed_until__isnull=True)
        if not await mine.update(claimed_until=utcnow() + _CLAIMED):
            return
        again: float | None
        problem = ""
        try:
            async with asyncio.timeout(_SECONDS):
                again = await self._handlers[task.kind](task)
        except Exception as error:
            again, problem = self._failed(task, error)
        if again == DONE and await Task.filter(id=task.id, wanted=task.wanted).delete():
            return
        due = None if again is None or again == DONE else utcnow() + timedelta(seconds=again)
        ended = Task.filter(id=task.id, wanted=task.wanted)
        attempts = task.attempts + 1 if problem else 0
        await ended.update(due_at=due, problem=problem, attempts=attempts)
        await Task.filter(id=task.id).update(claimed_until=None, found=task.found)

    def _failed(self, task: Task, error: Exception) -> tuple[float | None, str]:
        """Return when to try again, if that is of any use, and what went wrong."""
        problem = error.message if isinstance(error, HelvetiaError) else type(error).__name__
        if not isinstance(error, HelvetiaError):
            _log.warning("%s at GitHub failed", task.kind, exc_info=error)
        wait = error.retry_after if isinstance(error, GitHubError) else 0.0
        is_lasting = task.kind in self._lasting
        if wait is None:
            return _LONGEST_PAUSE if is_lasting else None, problem[:500]
        if utcnow() - task.created_at > _GIVEN_UP_AFTER and not is_lasting:
            return None, f"given up: {problem}"[:500]
        pause = min(_FIRST_PAUSE * 2 ** min(task.attempts, 10), _LONGEST_PAUSE)
        return max(pause, wait), problem[:500]
