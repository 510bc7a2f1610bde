"""Looks at all live instances and at the router, every few seconds, in one process at a time.

It costs little: at most a tenth of the time is spent looking, however long one look takes. A
provider that cannot tell, breaks or hangs is asked again later and hurts nobody.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from helvetia import HelvetiaError, Meter, Stats
from helvetia.kernel.duties import has_duty
from helvetia.kernel.models import Instance, InstanceStatus, utcnow
from helvetia.kernel.platform import Platform
from helvetia.kernel.providers import plugin_call

from . import rings
from .models import Watch
from .points import (
    BOUNDS,
    CPU,
    FIELDS,
    MEMORY,
    PROCESSES,
    RECEIVED,
    RESTARTS,
    SECONDS,
    SENT,
    STATUSES,
    Point,
    unknown,
)  # fmt: skip

_DUTY = "metrics"
_DUTY_SECONDS = 60.0
_IDLE_SECONDS = 10.0
_WRITE_SECONDS = 60.0
_ASK_SECONDS = 5.0
_AT_ONCE = 8
_MUTED_SECONDS = (30.0, 600.0)
_SHARE = 10
_log = logging.getLogger(__name__)
_Live = list[tuple[str, str, str]]


@dataclass(slots=True)
class _Muted:
    """A provider that is not asked until then."""

    pause: float = _MUTED_SECONDS[0]
    until: float = 0.0


@dataclass(slots=True)
class _Before:
    """What was seen the last time."""

    at: float = 0.0
    stats: dict[str, Stats] = field(default_factory=dict)
    meters: Mapping[tuple[str, str], Meter] | None = None


class Sampler:
    """Measures while it has the duty, and writes what it found.

    Args:
        seconds: pause between two looks where they are cheap.
    """

    def __init__(self, platform: Platform, seconds: float) -> None:
        self._platform = platform
        self._seconds = seconds
        self._task: asyncio.Task[None] | None = None
        self._muted: dict[str, _Muted] = {}
        self._before = _Before()
        self._pending: rings.Pending = {}
        self._prolong_at = 0.0
        self._written = time.monotonic()

    def wake(self) -> None:
        """See to it that it goes on in the background of this process."""
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._forever())

    async def stop(self) -> None:
        """Break off."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def _forever(self) -> None:
        while True:
            pause = _IDLE_SECONDS
            try:
                if await self._has_duty():
                    began = time.monotonic()
                    await self.look()
                    pause = max(self._seconds, _SHARE * (time.monotonic() - began))
            except Exception as error:
                # The database is away, or the process ends: the next look finds out.
                _log.warning("metrics are not taken: %s", error)
            await asyncio.sleep(pause)

    async def _has_duty(self) -> bool:
        now = time.monotonic()
        if now >= self._prolong_at:
            mine = await has_duty(_DUTY, owner=self._platform.worker, seconds=_DUTY_SECONDS)
            self._prolong_at = now + _DUTY_SECONDS / 3 if mine else 0.0
            if not mine:
                self._before, self._pending = _Before(), {}
        return self._prolong_at > 0

    async def look(self) -> None:
        """Look once, and write if it is time to."""
        statuses = (InstanceStatus.LIVE, InstanceStatus.DRAINING)
        live: _Live = await Instance.filter(status__in=statuses).values_list(
            "id", "service_id", "runtime"
        )
        if live:
            stats, meters = await asyncio.gather(self._stats(live), self._meters())
            self._note(live, stats, meters)
        await self._write()

    async def write(self) -> None:
        """Write everything now."""
        await rings.write(self._pending, list(self._pending))

    async def _write(self) -> None:
        if time.monotonic() - self._written > _WRITE_SECONDS:
            self._written = time.monotonic()
            await self.write()
        elif self._pending:
            watched = await Watch.filter(until__gt=utcnow()).values_list("id")
            await rings.write(self._pending, [str(id) for (id,) in watched])

    # --- asking ---------------------------------------------------------------------------------

    async def _stats(self, live: _Live) -> dict[str, Stats]:
        room = asyncio.Semaphore(_AT_ONCE)

        async def one(instance_id: str, runtime: str) -> Stats | None:
            async with room:
                return await self._ask_runtime(instance_id, runtime)

        found = await asyncio.gather(*(one(id, runtime) for id, _, runtime in live))
        return {id: stats for (id, _, _), stats in zip(live, found, strict=True) if stats}

    async def _ask_runtime(self, instance_id: str, name: str) -> Stats | None:
        if self._is_muted(name):
            return None
        try:
            runtime = self._platform.providers.runtimes.get(name)
            async with plugin_call(runtime.plugin, f"{name}.stats", _ASK_SECONDS):
                stats = await runtime.provider.stats(instance_id)
                return stats and _numbers(stats)
        except HelvetiaError as error:
            self._mute(name, error)
            return None

    async def _meters(self) -> Mapping[tuple[str, str], Meter] | None:
        router = self._platform.providers.routers.preferred()
        if router is None or self._is_muted(f"router {router.name}"):
            return None
        try:
            async with plugin_call(router.plugin, f"{router.name}.meters", _ASK_SECONDS):
                meters = await router.provider.meters()
                return {key: _counts(meter) for key, meter in meters.items()}
        except HelvetiaError as error:
            self._mute(f"router {router.name}", error)
            return None

    def _is_muted(self, name: str) -> bool:
        muted = self._muted.get(name)
        return muted is not None and time.monotonic() < muted.until

    def _mute(self, name: str, error: HelvetiaError) -> None:
        muted = self._muted.setdefault(name, _Muted())
        now = time.monotonic()
        if now < muted.until:
            return  # of many instances at once, the first one told
        muted.until = now + muted.pause
        _log.warning("no metrics of %s for %.0f s: %s", name, muted.pause, error.message)
        muted.pause = min(muted.pause * 2, _MUTED_SECONDS[1])

    # --- counting -------------------------------------------------------------------------------

    def _note(
        self,
        live: _Live,
        stats: dict[str, Stats],
        meters: Mapping[tuple[str, str], Meter] | None,
    ) -> None:
        """Turn counters into what was used since the last look."""
        before, now = self._before, time.monotonic()
        seconds = now - before.at
        self._before = _Before(at=now, stats=stats, meters=meters)
        if not before.at:
            return
        points: dict[str, Point] = {}
        for id, service_id, _ in live:
            point = points.setdefault(service_id, unknown())
            point[SECONDS] = seconds
            if id in stats:
                _add_stats(point, stats[id], before.stats.get(id))
        if meters is not None and before.meters is not None:
            for (service_id, release_id), meter in meters.items():
                if service_id in points:
                    former = before.meters.get((service_id, release_id))
                    _add_meter(points[service_id], meter, former)
        moment = int(time.time())
        for service_id, point in points.items():
            rings.note(self._pending, service_id, moment, point)


def _numbers(stats: Stats) -> Stats:
    """Return numbers, whatever a plugin gave; it raises for what is none."""
    received, sent = stats.received_bytes, stats.sent_bytes
    return Stats(
        cpu_seconds=float(stats.cpu_seconds),
        memory_bytes=int(stats.memory_bytes),
        processes=int(stats.processes),
        restarts=int(stats.restarts),
        received_bytes=None if received is None else int(received),
        sent_bytes=None if sent is None else int(sent),
    )


def _counts(meter: Meter) -> Meter:
    return Meter(
        statuses={int(status): int(count) for status, count in meter.statuses.items()},
        seconds={float(bound): int(count) for bound, count in meter.seconds.items()},
    )


def _add_stats(point: Point, now: Stats, before: Stats | None) -> None:
    _add(point, MEMORY, now.memory_bytes)
    _add(point, PROCESSES, now.processes)
    if before is None:
        return  # what it used before it was seen is nobody's knowledge
    again = now.restarts - before.restarts
    _add(point, RESTARTS, max(again, 0))
    _add(point, CPU, _since(now.cpu_seconds, before.cpu_seconds))
    for at, value, former in (
        (RECEIVED, now.received_bytes, before.received_bytes),
        (SENT, now.sent_bytes, before.sent_bytes),
    ):
        if value is not None and former is not None:
            _add(point, at, _since(value, former))


def _add_meter(point: Point, now: Meter, before: Meter | None) -> None:
    for status, at in STATUSES.items():
        _add(point, at, 0)
        former = before.statuses.get(status, 0) if before else 0
        _add(point, at, _since(now.statuses.get(status, 0), former))
    for number, bound in enumerate(BOUNDS):
        lower = BOUNDS[number - 1] if number else 0.0
        # Another proxy may count by other bounds: each goes to the next one above it.
        mine = [one for one in now.seconds if lower < one <= bound]
        count = sum(
            _since(now.seconds[one], before.seconds.get(one, 0) if before else 0) for one in mine
        )
        _add(point, len(FIELDS) + number, count)


def _since(now: float, before: float) -> float:
    """Return how much a counter has grown; it may have begun again."""
    return now - before if now >= before else now


def _add(point: Point, at: int, value: float) -> None:
    is_known = point[at] == point[at]  # NaN is not
    point[at] = point[at] + value if is_known else value
