"""Bring what instances write into the logs of their services, no line twice and none lost."""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass

from helvetia.logs import PLATFORM, LogRecord, SequenceTaken, clean_lines
from helvetia.masking import Redactor

from . import environment
from .contracts.runtime import RuntimeLogPage
from .errors import HelvetiaError
from .models import Instance, Release
from .platform import Platform
from .providers import plugin_call

_PAGE = 500
_log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Position:
    """How far the log of a service is written, and its instances read."""

    seq: int
    cursors: dict[str, str]


@dataclass(frozen=True, slots=True)
class _Source:
    label: str
    redactor: Redactor


class Collector:
    """Copies runtime logs into the log store.

    How far each instance was read is committed with the lines themselves, and a line's number
    can be taken once only: whoever comes second reads again where the first one stopped.
    """

    def __init__(self, platform: Platform) -> None:
        self._platform = platform
        self._positions: dict[str, _Position] = {}
        self._sources: dict[str, _Source] = {}

    async def once(self) -> bool:
        """Copy what is new of every instance, a page of each; False if there was nothing."""
        found = False
        rows = await Instance.all()
        running = {row.service_id for row in rows}
        self._positions = {s: p for s, p in self._positions.items() if s in running}
        there = {row.id for row in rows}
        self._sources = {i: known for i, known in self._sources.items() if i in there}
        for row in rows:
            try:
                found |= await self._page(row)
            except HelvetiaError as error:
                _log.warning("%s", error)
        return found

    async def rest(self, row: Instance) -> None:
        """Copy all that an instance has written, before it is removed."""
        try:
            while await self._page(row):
                pass
        except HelvetiaError as error:
            _log.warning("%s", error)

    async def trim(self) -> None:
        """Keep the logs of services within their size."""
        limit = self._platform.options.service_log_mb * 2**20
        for service_id in {row.service_id for row in await Instance.all()}:
            await self._platform.logs.trim(_name(service_id), limit)

    async def _page(self, row: Instance) -> bool:
        """Copy one page; False if there was nothing new."""
        log = _name(row.service_id)
        position = self._positions.get(row.service_id) or await self._read_position(log)
        self._positions[row.service_id] = position
        runtime = self._platform.providers.runtimes.get(row.runtime)
        async with plugin_call(runtime.plugin, f"{runtime.name}.logs", 30):
            page = await runtime.provider.logs(row.id, position.cursors.get(row.id, ""), _PAGE)
        if not page.lines and not page.dropped:
            return False
        records = _records(page, await self._source(row), first=position.seq + 1)
        living = {r.id for r in await Instance.filter(service_id=row.service_id)} | {row.id}
        cursors = {i: c for i, c in position.cursors.items() if i in living}
        cursors[row.id] = page.cursor
        try:
            await self._platform.logs.append(
                log, records, cursor=json.dumps(cursors, separators=(",", ":"))
            )
        except SequenceTaken:
            self._positions.pop(row.service_id, None)
            return True
        position.seq, position.cursors = records[-1].seq, cursors
        self._platform.hub.notify(log)
        return True

    async def _read_position(self, log: str) -> _Position:
        store = self._platform.logs
        return _Position(
            await store.last_seq(log), json.loads(await store.last_cursor(log) or "{}")
        )

    async def _source(self, row: Instance) -> _Source:
        if row.id not in self._sources:
            release = await Release.get(id=row.release_id)
            values = await environment.values(
                row.service_id, release.environment_version, self._platform.vault
            )
            label = f"r{release.number}.{row.id[:4]}"
            self._sources[row.id] = _Source(label, Redactor(values.values()))
        return self._sources[row.id]


def _name(service_id: str) -> str:
    return f"service:{service_id}"


def _records(page: RuntimeLogPage, source: _Source, *, first: int) -> list[LogRecord]:
    lines: list[tuple[float, str, str]] = []
    if page.dropped:
        time = page.lines[0].time if page.lines else 0.0
        told = f"{page.dropped} lines were lost: they came faster than they could be kept"
        lines.append((time, PLATFORM, told))
    for line in page.lines:
        for text in clean_lines(source.redactor.text(line.text)):
            lines.append((line.time, line.stream, text))
    return [
        LogRecord(seq, time, stream, source.label, text)
        for seq, (time, stream, text) in enumerate(lines, first)
    ]
