"""Bring what instances write into the logs of their services, no line twice and none lost."""

from __future__ import annotations

import json
import logging

from . import environment
from .errors import HelvetiaError
from .logs import LogRecord, Redactor
from .models import Instance, Release
from .platform import Platform
from .providers import plugin_call

_PAGE = 500
_log = logging.getLogger(__name__)


class Collector:
    """Copies runtime logs into the log store.

    How far each instance was read is committed with the lines themselves.
    """

    def __init__(self, platform: Platform) -> None:
        self._platform = platform
        self._redactors: dict[str, Redactor] = {}
        self._numbers: dict[str, int] = {}

    async def once(self) -> int:
        """Copy what is new of every instance; return how many lines there were."""
        copied = 0
        by_service: dict[str, list[Instance]] = {}
        for row in await Instance.all():
            by_service.setdefault(row.service_id, []).append(row)
        for service_id, rows in by_service.items():
            copied += await self._service(service_id, rows)
        return copied

    async def _service(self, service_id: str, rows: list[Instance]) -> int:
        store, log = self._platform.logs, f"service:{service_id}"
        cursors: dict[str, str] = json.loads(await store.last_cursor(log) or "{}")
        seq = await store.last_seq(log)
        # Instances that are gone need no place in the cursor any more.
        cursors = {row.id: cursors.get(row.id, "") for row in rows}
        copied = 0
        for row in rows:
            runtime = self._platform.providers.runtimes.get(row.runtime)
            try:
                async with plugin_call(runtime.plugin, f"{runtime.name}.logs", 30):
                    page = await runtime.provider.logs(row.id, cursors[row.id], _PAGE)
            except HelvetiaError as error:
                _log.warning("%s", error)
                continue
            if not page.lines and not page.dropped:
                continue
            await self._remember(row)
            redactor, stage = self._redactors[row.release_id], f"r{self._numbers[row.release_id]}"
            records = []
            if page.dropped:
                seq += 1
                told = f"{page.dropped} lines were lost: they came faster than they could be kept"
                time = page.lines[0].time if page.lines else 0.0
                records.append(LogRecord(seq, time, "platform", stage, told))
            for line in page.lines:
                seq += 1
                records.append(
                    LogRecord(seq, line.time, line.stream, stage, redactor.text(line.text))
                )
            cursors[row.id] = page.cursor
            await store.append(log, records, cursor=json.dumps(cursors, separators=(",", ":")))
            copied += len(records)
        if copied:
            self._platform.hub.notify(log)
        return copied

    async def trim(self) -> None:
        """Keep the logs of services within their size."""
        limit = self._platform.options.service_log_mb * 2**20
        services = {row.service_id for row in await Instance.all()}
        for service_id in services:
            await self._platform.logs.trim(f"service:{service_id}", limit)

    async def _remember(self, row: Instance) -> None:
        if row.release_id in self._redactors:
            return
        release = await Release.get(id=row.release_id)
        values = await environment.values(
            row.service_id, release.environment_version, self._platform.vault
        )
        self._redactors[row.release_id] = Redactor(values.values())
        self._numbers[row.release_id] = release.number
