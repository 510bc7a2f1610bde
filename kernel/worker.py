"""The working half of the platform: deployments, repairs, logs, events."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable

from . import events
from .collecting import Collector
from .duties import has_duty, lay_down
from .jobs import Jobs, LocalBroker
from .models import Deployment, DeploymentStatus
from .pipeline.lease import is_free
from .pipeline.running import Runner
from .pipeline.workspaces import collect_workspaces
from .platform import Platform
from .reconcile import Reconciler
from .tidying import collect_artifacts, collect_uploads

_DUTY = "reconciler"
_DUTY_SECONDS = 10.0
_REAP_SECONDS = 0.5
_LOOK_SECONDS = 1.0
_COLLECT_SECONDS = 0.25
_TIDY_SECONDS = 60.0
_BATCH = 100
_log = logging.getLogger(__name__)


class Worker:
    """Runs deployments, and is one of those who look after everything else."""

    def __init__(self, platform: Platform) -> None:
        self._platform = platform
        self._runner = Runner(platform)
        self._jobs = Jobs(LocalBroker(), self._runner, concurrency=platform.options.workers)
        self._reconciler = Reconciler(platform)
        self._collector = Collector(platform)
        self._tidied = time.monotonic()
        self._prolong_at = 0.0
        self._loops: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Begin to work."""
        await collect_workspaces(self._platform)
        await self._jobs.start()
        self._loops = [
            asyncio.create_task(_forever(self._reap, _REAP_SECONDS)),
            asyncio.create_task(_forever(self._look_after, _LOOK_SECONDS)),
            asyncio.create_task(_forever(self._collect, _COLLECT_SECONDS)),
        ]

    async def ring(self, deployment_id: str) -> None:
        """Have a deployment looked at without waiting for the reaper."""
        await self._jobs.ring(deployment_id)

    async def stop(self) -> None:
        """Interrupt the work in a way that another worker, or the next start, goes on with."""
        for loop in self._loops:
            loop.cancel()
        await asyncio.gather(*self._loops, return_exceptions=True)
        await self._reconciler.stop()
        await self._runner.stop()
        await self._jobs.stop(5)
        await lay_down(_DUTY, owner=self._platform.worker)

    async def _reap(self) -> None:
        """Ring for deployments that wait and for those whose worker is dead."""
        free = is_free(self._platform.options.lease_seconds, service="service__")
        waiting = (
            await Deployment.filter(
                free, status__in=(DeploymentStatus.QUEUED, DeploymentStatus.RUNNING)
            )
            .order_by("created_at")
            .limit(_BATCH)
            .values_list("id", flat=True)
        )
        for deployment_id in waiting:
            await self._jobs.ring(str(deployment_id))

    async def _has_duty(self) -> bool:
        """Tell whether the duty is ours; it is prolonged long before it ends, not at each look."""
        now = time.monotonic()
        if now >= self._prolong_at:
            mine = await has_duty(_DUTY, owner=self._platform.worker, seconds=_DUTY_SECONDS)
            self._prolong_at = now + _DUTY_SECONDS / 3 if mine else 0.0
        return self._prolong_at > 0

    async def _look_after(self) -> None:
        if not await self._has_duty():
            return
        await self._reconciler.once()
        while await events.deliver(self._platform.providers):
            pass
        if time.monotonic() - self._tidied > _TIDY_SECONDS:
            self._tidied = time.monotonic()
            await collect_artifacts(self._platform)
            await collect_uploads(self._platform)
            await collect_workspaces(self._platform)
            await self._collector.trim()

    async def _collect(self) -> None:
        if await self._has_duty():
            await self._collector.once()


async def _forever(work: Callable[[], Awaitable[None]], seconds: float) -> None:
    """Repeat the work; what goes wrong once is told and tried again."""
    pause = seconds
    while True:
        try:
            await work()
            pause = seconds
        except Exception:
            _log.exception("%s", getattr(work, "__name__", "work"))
            pause = min(pause * 2, 30)
        await asyncio.sleep(pause)
