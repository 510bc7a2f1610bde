"""Follow a log: over the WebSocket, on from the exact record after a cut, else page by page."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

from helvetia.kernel.errors import Unreachable
from helvetia.plugins.api.schemas import LogPage, LogRecord

from .api import Api
from .client import Interrupted

SOCKET_ATTEMPTS = 3
PATIENCE_SECONDS = 60.0
_PAGE = 1000
_PAUSE = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """Records that follow on the ones before, none twice; `ended`: nothing will follow."""

    records: list[LogRecord]
    skipped: int = 0
    ended: bool = False


async def follow(
    api: Api, path: str, *, after: int = 0, instance: str | None = None
) -> AsyncIterator[Piece]:
    """Go through the log below `path` from the record behind `after` until it ends.

    Args:
        instance: whose records alone are wanted, in the log of a service.

    Raises:
        Unreachable: the control plane has been silent for `PATIENCE_SECONDS`.
        HelvetiaError: the log may not be read.
    """
    failures = 0
    while failures < SOCKET_ATTEMPTS:
        try:
            query = {"after": after, "instance": instance}
            async for frame in api.client.frames(f"{path}/logs/follow", query):
                failures = 0
                page = LogPage.model_validate({"records": [], "last": 0, "ended": False} | frame)
                piece = _behind(page, after)
                after = piece.records[-1].seq if piece.records else after
                yield piece
                if piece.ended:
                    return
        except Interrupted:
            failures += 1
            await asyncio.sleep(0.1 * 2**failures)
    async for piece in _by_pages(api, path, after, instance):
        yield piece


async def _by_pages(api: Api, path: str, after: int, instance: str | None) -> AsyncIterator[Piece]:
    clock = asyncio.get_running_loop().time
    heard = clock()
    while True:
        try:
            page = await api.logs(path, after=after, limit=_PAGE, instance=instance)
        except Unreachable:
            if clock() - heard > PATIENCE_SECONDS:
                raise
            await asyncio.sleep(_PAUSE)
            continue
        heard = clock()
        piece = _behind(page, after)
        after = max(after, page.last)
        if piece.records or piece.skipped or piece.ended:
            yield piece
        if piece.ended:
            return
        if not piece.records:
            await asyncio.sleep(_PAUSE)


def _behind(page: LogPage, after: int) -> Piece:
    records = [record for record in page.records if record.seq > after]
    return Piece(records=records, skipped=page.skipped, ended=page.ended)
