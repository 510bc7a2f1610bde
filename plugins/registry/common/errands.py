"""Errands to a thread that work on open files."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

Value = TypeVar("Value")


async def errand(work: Callable[[], Value]) -> Value:
    """Run blocking work in a thread; when cancelled, wait until the thread is done with it.

    Otherwise its files would be closed while it uses them, and their numbers be given to others.
    Keep the work short.
    """
    task = asyncio.ensure_future(asyncio.to_thread(work))
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait({task})
        if not task.cancelled():
            task.exception()  # nobody is left to be told
        raise
