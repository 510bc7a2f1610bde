"""What is asked for at the same time is done together; a tool for plugins."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")
Work = Callable[[str, Sequence[Item]], Awaitable[Sequence[Result | Exception]]]

_AT_ONCE = 64


class Together(Generic[Item, Result]):
    """Does work for many callers at once: what a way to a database costs is shared among them.

    What comes for one key while others of it are under way is done next, in the order it came.

    Args:
        work: takes a key and what came for it; returns what each of them is told, or is to raise.
            If it raises itself, it is called again for one after the other.
        gather: seconds to wait for more once several have come at the same time.
    """

    def __init__(self, work: Work[Item, Result], *, gather: float = 0) -> None:
        self._work = work
        self._gather = gather
        self._waiting: dict[str, list[tuple[Item, asyncio.Future[Result]]]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def do(self, key: str, item: Item) -> Result:
        """Wait for one's turn; return when it is done."""
        done: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        if key in self._waiting:
            self._waiting[key].append((item, done))
        else:
            self._waiting[key] = [(item, done)]
            task = asyncio.create_task(self._serve(key))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return await done

    async def _serve(self, key: str) -> None:
        line = self._waiting[key]
        try:
            while line:
                together = line[:_AT_ONCE]
                del line[:_AT_ONCE]
                await self._try(key, together)
                if self._gather and len(together) > 1:
                    # More are on their way, and to do one costs as much as to do them all.
                    await asyncio.sleep(self._gather)
        finally:
            del self._waiting[key]
            for _, done in line:
                done.cancel()

    async def _try(self, key: str, together: list[tuple[Item, asyncio.Future[Result]]]) -> None:
        results: Sequence[Result | Exception]
        try:
            results = await self._work(key, [item for item, _ in together])
        except Exception as error:
            if len(together) > 1:
                # One may be at fault: the others do not suffer for it.
                for one in together:
                    await self._try(key, [one])
                return
            results = [error]
        for (_, done), result in zip(together, results, strict=True):
            # Whoever went away meanwhile finds it done.
            if done.done():
                continue
            if isinstance(result, Exception):
                done.set_exception(result)
            else:
                done.set_result(result)
