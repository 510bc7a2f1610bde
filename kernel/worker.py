"""The working half of the platform: deployments, repairs, logs, events."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from . import events
from .collecting import Collector
from .duties import has_duty, lay_down
from .jobs import Jobs
from .pipeline.running import Runner
from .pipeline.workspaces import collect_workspaces
from .platform import Platform
from .presence import Presence
from .reconcile import Reconciler
from .rounds import Rounds
from .tidying import Artifacts, collect_kept

_DUTY = "reconciler"
_DUTY_SECONDS = 10.0
_TIDY_SECONDS = 60.0
_BEAT_SECONDS = 5.0
WORK, CHANGED = "work", "changed"
Tell = Callable[[str], None]


class Worker:
    """Runs deployments, and is one of those who look after everything else.

    Args:
        tell: tells the other workers `WORK` or `CHANGED`, if there can be some; see `hear`.
    """

    def __init__(self, platform: Platform, tell: Tell = lambda news: None) -> None:
        self._platform = platform
        self._tell = tell
        self._presence = Presence(platform)
        self._stopping = False
        self._runner = Runner(platform)
        self._jobs = Jobs(self._run, concurrency=platform.options.workers)
        self._reconciler = Reconciler(platform)
        self._collector = Collector(platform)
        self._artifacts = Artifacts(platform)
        self._tidied = time.monotonic()
        self._prolong_at = 0.0
        self._reaping = Rounds(self._reap, quick=0.25, slow=1)
        self._looking = Rounds(self._look_after, quick=0.5, slow=3)
        self._collecting = Rounds(self._collect, quick=0.25, slow=0.5)
        self._beating = Rounds(self._beat, quick=_BEAT_SECONDS, slow=_BEAT_SECONDS)
        self._rounds = (self._reaping, self._looking, self._collecting)

    async def start(self) -> None:
        """Begin to work."""
        await self._jobs.start()
        for rounds in (self._beating, *self._rounds):
            rounds.start()

    async def ring(self, deployment_id: str) -> None:
        """Have a deployment looked at without waiting for the reaper."""
        is_idle = not (self._jobs.is_busy or self._stopping)
        # Not this one alone: others may have waited for longer.
        if not is_idle or deployment_id not in await self._take():
            self._tell(WORK)

    def hear(self, news: str) -> None:
        """Hear what another process tells: a deployment waits for others, or all has changed."""
        if news == WORK:
            self._reaping.wake()
        elif news == CHANGED:
            self.wake()

    def wake(self) -> None:
        """Look after everything now: somebody has changed something."""
        for rounds in self._rounds:
            rounds.wake()

    async def stop(self) -> None:
        """Interrupt the work in a way that another worker, or the next start, goes on with."""
        self._stopping = True
        await asyncio.gather(*(rounds.stop() for rounds in (self._beating, *self._rounds)))
        await self._reconciler.stop()
        await self._runner.stop()
        await self._jobs.stop(5)
        await lay_down(_DUTY, owner=self._platform.worker)
        await self._presence.leave()
        self._tell(CHANGED)

    async def _run(self, deployment_id: str) -> None:
        try:
            await self._runner(deployment_id)
        finally:
            # The service is free for the next one, and shows what has become of it.
            self.wake()
            if self._stopping:
                # What was interrupted goes on in another worker now.
                self._tell(WORK)

    async def _reap(self) -> bool:
        return bool(await self._take())

    async def _take(self) -> list[str]:
        """Ring for deployments that wait and for those whose worker is dead; return them all."""
        room = self._jobs.room
        waiting = await self._presence.waiting() if room > 0 else []
        for deployment_id in waiting[: max(room, 0)]:
            await self._jobs.ring(deployment_id)
        return waiting

    async def _beat(self) -> bool:
        await self._presence.beat()
        return False

    async def _has_duty(self) -> bool:
        """Tell whether the duty is ours; it is prolonged long before it ends, not at each look."""
        now = time.monotonic()
        if now >= self._prolong_at:
            mine = await has_duty(_DUTY, owner=self._platform.worker, seconds=_DUTY_SECONDS)
            self._prolong_at = now + _DUTY_SECONDS / 3 if mine else 0.0
        return self._prolong_at > 0

    async def _look_after(self) -> bool:
        if not await self._has_duty():
            return False
        await self._reconciler.once()
        await self._presence.explain()
        while await events.deliver(self._platform.providers):
            pass
        if time.monotonic() - self._tidied > _TIDY_SECONDS:
            self._tidied = time.monotonic()
            await self._artifacts.collect()
            await collect_kept(self._platform)
            await collect_workspaces(self._platform)
            await events.tidy(self._platform.providers)
            await self._collector.trim()
        return self._reconciler.is_repairing

    async def _collect(self) -> bool:
        if not await self._has_duty():
            return False
        found = await self._collector.once()
        return found or self._platform.hub.followers > 0
