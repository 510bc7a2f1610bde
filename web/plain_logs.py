"""Whole logs as plain text, for `curl` and for browsers without scripts."""

from __future__ import annotations

from datetime import UTC, datetime

from aiohttp import web

from helvetia.kernel.http.access import load_deployment, load_service
from helvetia.kernel.models import Role
from helvetia.logs.records import LogRecord

from .filters import clock, plain
from .visit import Visit

_RECORDS = 1000


async def of_deployment(visit: Visit) -> web.StreamResponse:
    """Send the whole log of a deployment."""
    row = await load_deployment(visit.caller, visit.part("deployment"), Role.VIEWER)
    return await _send(visit, f"deployment:{row.id}")


async def of_service(visit: Visit) -> web.StreamResponse:
    """Send what is kept of what the instances of a service wrote."""
    row = await load_service(visit.caller, visit.part("service"), Role.VIEWER)
    return await _send(visit, f"service:{row.id}")


async def _send(visit: Visit, log: str) -> web.StreamResponse:
    response = web.StreamResponse()
    response.content_type, response.charset = "text/plain", "utf-8"
    _ = await response.prepare(visit.request)
    after = 0
    # A part at a time: a log may be larger than the memory one reader is worth.
    while records := await visit.platform.logs.read(log, after, _RECORDS):
        text = "".join(map(_line, records))
        await response.write(text.encode("utf-8", "replace"))
        after = records[-1].seq
    return response


def _line(record: LogRecord) -> str:
    time = clock(datetime.fromtimestamp(record.time, UTC))
    return f"{time} {record.stage or record.stream:<8} {plain(record.text)}\n"
