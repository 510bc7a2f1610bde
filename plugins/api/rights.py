"""Whether callers keep the right to what stays open: asked once for all with one credential.

A thousand followers of one log by one session are one question, not a thousand.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from helvetia.kernel.http.context import Call


async def held(call: Call, *, seconds: float) -> None:
    """Wait for as long as the caller has the right to the call.

    Args:
        call: one that was admitted, and stays open.
        seconds: pause between two looks; after `ended` there is one at once, in another
            process as soon as it hears of it.

    Raises:
        HelvetiaError: the right is lost.
    """
    key, mark = _key(call), object()
    watch = _watches.get(key)
    if watch is None:
        watch = _watches[key] = _Watch(key, seconds)
    watch.calls[mark] = call
    try:
        # The others wait for the same: that one of them leaves must not end it.
        await asyncio.shield(watch.task)
    finally:
        del watch.calls[mark]
        if not watch.calls:
            _forget(key, watch)
            watch.task.cancel()


def ended() -> None:
    """Have all rights looked at now, here and elsewhere, since this process has ended some."""
    look()
    if relay is not None:
        relay()


def look() -> None:
    """Have all rights that are held here looked at now."""
    for watch in _watches.values():
        watch.news.set()


class _Watch:
    """The calls with one credential for one address, and the task that asks for them all."""

    def __init__(self, key: Hashable, seconds: float) -> None:
        self.calls: dict[object, Call] = {}
        self.news = asyncio.Event()
        self.task = asyncio.create_task(self._ask(key, seconds))

    async def _ask(self, key: Hashable, seconds: float) -> None:
        try:
            while True:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(seconds):
                        await self.news.wait()
                self.news.clear()
                _ = await next(iter(self.calls.values())).readmit()
        finally:
            # Who comes from now on was admitted later: what was found is not about them.
            _forget(key, self)


relay: Callable[[], None] | None = None
"""Tells the other processes, who hear it here as `look`; set where there are any."""
_watches: dict[Hashable, _Watch] = {}


def _forget(key: Hashable, watch: _Watch) -> None:
    if _watches.get(key) is watch:
        del _watches[key]


def _key(call: Call) -> Hashable:
    caller, request = call.known_caller, call.request
    session = caller.session_id if caller is not None else None
    credential = session or request.headers.get("Authorization", "")
    return id(call.context), credential, request.rel_url.raw_path
