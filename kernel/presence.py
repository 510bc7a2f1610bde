"""Which workers there are, and which of them may take a deployment."""

from __future__ import annotations

import socket
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from helvetia.logs import LogWriter
from helvetia.masking import Redactor
from helvetia.version import __version__

from .database.rows import fetch
from .models import OPEN_STATES, Deployment, Worker, utcnow
from .pipeline.lease import is_free
from .platform import Platform
from .settings import KernelSettings, split_labels

_SILENT = timedelta(seconds=20)
_FORGOTTEN = timedelta(hours=1)
_OPEN = 'SELECT 1 FROM "deployment" WHERE "status" IN (?, ?) LIMIT 1'

Labels = frozenset[str]


class Presence:
    """This worker among the others."""

    def __init__(self, platform: Platform) -> None:
        self._platform = platform
        self._labels = frozenset(split_labels(platform.options.worker_labels))

    async def beat(self) -> None:
        """Say that this worker is there, and forget those that have long been silent."""
        now = utcnow()
        options = self._platform.options
        mine: dict[str, Any] = {
            "host": socket.gethostname()[:255],
            "version": __version__,
            "labels": ",".join(sorted(self._labels)),
            "concurrency": options.workers,
            "seen_at": now,
        }
        if not await Worker.filter(name=self._platform.worker).update(**mine):
            await Worker.get_or_create(name=self._platform.worker, defaults=mine)
            await Worker.filter(seen_at__lt=now - _FORGOTTEN).delete()

    async def leave(self) -> None:
        """Take this worker off the list."""
        await Worker.filter(name=self._platform.worker).delete()

    async def waiting(self) -> list[str]:
        """Return the ids of the deployments that wait and this worker may take, oldest first."""
        return [row["id"] for row in await self._waiting() if row["demand"] <= self._labels]

    async def explain(self) -> None:
        """Say of the deployments that nobody may take what they wait for; by one worker."""
        rows = await self._waiting()
        if not any(row["demand"] or row["reason"] for row in rows):
            return
        alive = [worker for worker in await Worker.all() if is_alive(worker)]
        there = [frozenset(split_labels(worker.labels)) for worker in alive]
        for row in rows:
            reason = missing(row["demand"], there)
            if reason != row["reason"]:
                await Deployment.filter(id=row["id"], status=row["status"]).update(reason=reason)
                if reason:
                    await self._log(row["id"], f"waits: {reason}")

    async def _waiting(self) -> list[dict[str, Any]]:
        if not await fetch(_OPEN, *OPEN_STATES):
            return []  # most of the time; to look at it closely was a third of an idle worker
        # Of each service one at most waits, and one more if a worker has died.
        free = is_free(self._platform.options.lease_seconds, service="service__")
        rows = Deployment.filter(free, status__in=OPEN_STATES).order_by("created_at")
        found = await rows.values(
            "id", "status", "reason", type="service__type", settings="service__settings"
        )
        options = self._platform.options
        return [{**row, "demand": demand(row["type"], row["settings"], options)} for row in found]

    async def _log(self, deployment_id: str, text: str) -> None:
        log = await LogWriter.open(
            self._platform.logs,
            f"deployment:{deployment_id}",
            redactor=Redactor(()),
            notify=self._platform.hub.notify,
        )
        log.line(text)
        await log.close()


def is_alive(worker: Worker) -> bool:
    """Tell whether a worker was seen lately; one that is silent is taken for dead.

    One seen in the future was so by a clock that was wrong.
    """
    return abs(utcnow() - worker.seen_at) < _SILENT


def demand(service_type: str, settings: Mapping[str, Any], options: KernelSettings) -> Labels:
    """Return the labels that a service demands of its worker, by its type and its settings."""
    return options.labels_for(service_type).union(settings.get("worker_labels") or ())


def missing(wanted: Labels, there: Sequence[Labels]) -> str:
    """Say why no worker may take what demands these labels; "" if one may.

    Args:
        there: the labels of each worker that is alive.
    """
    if any(wanted <= labels for labels in there):
        return ""
    if absent := sorted(wanted.difference(*there)):
        return f"no worker with label {' and '.join(absent)} is there"
    return f"no worker has all the labels {', '.join(sorted(wanted))}"
