from __future__ import annotations

import asyncio
import time

import pytest

from helvetia.kernel.models import Service
from helvetia.kernel.platform import Platform
from helvetia.plugins.metrics import rings, views
from helvetia.plugins.metrics.models import Chunk
from helvetia.plugins.metrics.points import CPU, MEMORY, SECONDS, Point, unknown

HOUR, DAY, WEEK = rings.RESOLUTIONS


def point(cpu: float = 1.0, seconds: float = 5.0) -> Point:
    made = unknown()
    made[SECONDS], made[CPU], made[MEMORY] = seconds, cpu, 1000.0
    return made


async def test_a_series_in_every_resolution(platform: Platform, service: Service) -> None:
    now = int(time.time())
    pending: rings.Pending = {}
    for back in range(0, 3600 * 3, 5):
        rings.note(pending, service.id, now - back, point())
    await rings.write(pending, list(pending))
    assert pending == {}
    hour = await views.series(service.id, "hour")
    assert len(hour.points) in (HOUR.span // 5, HOUR.span // 5 + 1)
    assert [one.time for one in hour.points] == sorted(one.time for one in hour.points)
    assert {one.cpu for one in hour.points} == {0.2}
    day = await views.series(service.id, "day")
    assert len(day.points) in (180, 181)
    assert {one.cpu for one in day.points} == {0.2}
    assert len((await views.series(service.id, "week")).points) in (12, 13)


async def test_a_ring_never_grows_and_old_rounds_are_not_shown(
    platform: Platform, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = int(time.time()) // WEEK.step * WEEK.step
    for days in range(20):
        moment = start + days * 86400
        pending: rings.Pending = {}
        for at in range(0, 86400, 1800):
            rings.note(pending, service.id, moment + at, point())
        await rings.write(pending, list(pending))
    assert await Chunk.all().count() <= HOUR.chunks + DAY.chunks + WEEK.chunks
    monkeypatch.setattr(time, "time", lambda: start + 20 * 86400)
    week = await views.series(service.id, "week")
    assert len(week.points) == 7 * 48
    assert min(one.time for one in week.points) >= start + 13 * 86400


async def test_what_is_written_twice_is_added(platform: Platform, service: Service) -> None:
    now = int(time.time())
    for _ in range(2):
        pending: rings.Pending = {}
        rings.note(pending, service.id, now, point(cpu=2.0, seconds=2.0))
        await rings.write(pending, [service.id])
    [one] = (await views.series(service.id, "hour")).points
    assert one.cpu == 1.0
    assert one.memory_bytes == 1000


async def test_what_cannot_be_written_stays_to_be_written(
    platform: Platform, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = int(time.time())
    pending: rings.Pending = {}
    rings.note(pending, service.id, now, point())

    async def broken(*_: object, **__: object) -> None:
        raise OSError("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(Chunk, "bulk_create", broken)
        with pytest.raises(OSError, match="full"):
            await rings.write(pending, [service.id])
    rings.note(pending, service.id, now, point())
    await rings.write(pending, [service.id])
    [one] = (await views.series(service.id, "hour")).points
    assert one.cpu == 0.2


async def test_many_services_are_written_in_few_transactions(platform: Platform) -> None:
    now = int(time.time())
    pending: rings.Pending = {}
    for number in range(250):
        rings.note(pending, f"service{number}", now, point())
    async with asyncio.timeout(30):
        await rings.write(pending, list(pending))
    assert await Chunk.all().count() == 750
