"""Logs on pages: the last lines for everybody, the viewer for browsers with scripts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from aiohttp import web

from helvetia.plugins.api import schemas

from .filters import instance as instance_of
from .service_page import frame, load
from .visit import Visit

LINES = 200
"""How many lines a page has without scripts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Log:
    """What a page shows of a log.

    Attributes:
        read: address of the API to read it.
        follow: address of the API to follow it.
        whole: address of the whole log as text.
        skipped: how many earlier lines are not shown.
        is_of_many: whether several instances wrote it.
    """

    records: list[schemas.LogRecord]
    read: str
    follow: str
    whole: str
    skipped: int
    ended: bool
    is_of_many: bool


async def shown_log(visit: Visit, path: str, *, instance: str = "", **parts: Any) -> Log:
    """Return the end of a log, read at an endpoint of the API, or of what one instance wrote.

    The viewer chooses among instances by itself: it always has the log of all of them.
    """
    query = {"tail": LINES, "instance": instance or None}
    found = await visit.ask("GET", path, query=query, **parts)
    names = {name: getattr(row, "name", row.id) for name, row in parts.items()}
    read = path.format_map(names)
    return Log(
        records=found.records,
        read=read,
        follow=f"{read}/follow",
        whole=f"{read.removeprefix('/api/v1').removesuffix('s')}.txt",
        skipped=found.records[0].seq - 1 if found.records and not instance else 0,
        ended=found.ended,
        is_of_many=len({instance_of(one.stage) for one in found.records} - {""}) > 1,
    )


async def of_service(visit: Visit) -> web.Response:
    """Show what the instances of a service write."""
    service = await load(visit)
    wanted = visit.request.query.get("instance", "")
    path = "/api/v1/services/{service}/logs"
    log = await shown_log(visit, path, instance=wanted, service=service)
    return await frame(visit, service, "service_logs.html", "logs", log=log, instance=wanted)
