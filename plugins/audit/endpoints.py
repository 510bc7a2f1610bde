"""The log in pages, and all of it as a file."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

from aiohttp import web
from tortoise.expressions import Q
from tortoise.queryset import QuerySet

from helvetia import Call, Policy, Resource
from helvetia.kernel.models import Event
from helvetia.plugins.api.pagination import newest_first, page, place
from helvetia.plugins.api.schemas import Page

from . import files, looking, shapes

STALL_SECONDS = 30.0
_AT_ONCE = 500
resource = Resource("audit")


@resource.get("/api/v1/audit", policy=Policy.SIGNED_IN, summary="List the audit log")
async def index(call: Call, query: shapes.AuditQuery) -> Page[shapes.AuditEntry]:
    """List who changed what and from where, the newest first.

    Everybody sees what they did themselves, admins also what others did in their teams, operators
    everything.
    """
    found = await looking.shown(await newest_first(query, looking.entries(call.caller, query)))
    return page(query, found, key=lambda one: place(one.time, one.id), show=lambda one: one)


@resource.get(
    "/api/v1/audit.jsonl",
    policy=Policy.SIGNED_IN,
    summary="Download the audit log, one JSON object a line",
    media=files.JSON_LINES,
)
async def lines(call: Call, query: shapes.Filter) -> web.StreamResponse:
    """Download all entries that fit, the newest first."""
    rows = looking.entries(call.caller, query)
    return await _sent(call, rows, files.JSON_LINES, files.json_line)


@resource.get(
    "/api/v1/audit.csv",
    policy=Policy.SIGNED_IN,
    summary="Download the audit log as a table",
    media=files.CSV,
)
async def table(call: Call, query: shapes.Filter) -> web.StreamResponse:
    """Download all entries that fit, the newest first; `data` is JSON within its column."""
    rows = looking.entries(call.caller, query)
    return await _sent(call, rows, files.CSV, files.csv_row, header=files.csv_header())


async def _sent(
    call: Call,
    rows: QuerySet[Event],
    media: str,
    written: Callable[[shapes.AuditEntry], bytes],
    *,
    header: bytes = b"",
) -> web.StreamResponse:
    response = web.StreamResponse()
    response.content_type = media
    response.headers["Content-Disposition"] = "attachment"
    await response.prepare(call.request)
    await _write(response, header)
    async for some in _parts(rows):
        await _write(response, b"".join(written(one) for one in some))
    await response.write_eof()
    return response


async def _write(response: web.StreamResponse, data: bytes) -> None:
    """Send a part; a reader who takes nothing is cut off."""
    async with asyncio.timeout(STALL_SECONDS):
        await response.write(data)


async def _parts(rows: QuerySet[Event]) -> AsyncIterator[list[shapes.AuditEntry]]:
    last: Event | None = None
    while True:
        following = rows.order_by("-created_at", "-id").limit(_AT_ONCE)
        if last is not None:
            at, id = last.created_at, last.id
            following = following.filter(Q(created_at__lt=at) | Q(created_at=at, id__lt=id))
        found = await following
        if not found:
            return
        yield await looking.shown(found)
        last = found[-1]
