"""The clock of the machine is set while deployments run: nothing is lost, nothing runs twice."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import time
from collections.abc import AsyncIterator
from datetime import datetime, timedelta, tzinfo
from pathlib import Path

import aiohttp
import pytest

from helvetia.kernel import duties
from helvetia.kernel.models import Deployment, DeploymentStatus, Lease, Service, utcnow
from helvetia.kernel.models import Worker as WorkerRow
from helvetia.kernel.pipeline import building, instances, rollover, running
from helvetia.kernel.presence import is_alive
from helvetia.kernel.worker import Worker

from .conftest import MakeService
from .deploying import World, assert_tidy, journal, open_world, until

PLACES = ("build:before", "probe:before", "activate:switched", "drain:begun")
HOUR = 3600.0


class Clock:
    """The wall clock of this process, which can be set; durations go on as before."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.ahead = 0.0
        real = time.time
        clock = self

        class Set(datetime):
            @classmethod
            def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]
                return datetime.now(tz) + timedelta(seconds=clock.ahead)

        monkeypatch.setattr("helvetia.kernel.models.base.datetime", Set)
        monkeypatch.setattr(time, "time", lambda: real() + self.ahead)
        # What other tests did to the clock is not this one's.
        monkeypatch.setattr(duties, "_clock", type(duties._clock)())


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


@pytest.fixture
async def world(tmp_path: Path, clock: Clock) -> AsyncIterator[World]:
    async with open_world(tmp_path, HELVETIA_LEASE_SECONDS="2") as world:
        yield world


@contextlib.asynccontextmanager
async def two_workers(world: World) -> AsyncIterator[list[Worker]]:
    workers = []
    async with contextlib.AsyncExitStack() as stack:
        for name in ("one", "two"):
            platform = copy.copy(world.platform)
            platform.worker = name
            workers.append(Worker(platform))
            await workers[-1].start()
            stack.push_async_callback(workers[-1].stop)
        yield workers


@contextlib.asynccontextmanager
async def asking(world: World) -> AsyncIterator[list[str]]:
    """Ask the service all the time; yield what was not as it should be."""
    failed: list[str] = []

    async def ask() -> None:
        while True:
            try:
                answer = await world.answer()
                if answer not in ("one", "two"):
                    failed.append(f"answered {answer!r}")
            except (OSError, aiohttp.ClientError) as error:
                failed.append(repr(error))
            await asyncio.sleep(0.02)

    task = asyncio.create_task(ask())
    try:
        yield failed
    finally:
        task.cancel()
        await asyncio.wait([task])


@pytest.mark.e2e
@pytest.mark.parametrize("jump", [HOUR, -HOUR], ids=["forward", "back"])
async def test_the_clock_jumps_during_a_deployment(
    world: World, clock: Clock, monkeypatch: pytest.MonkeyPatch, jump: float
) -> None:
    service = await world.create()
    await world.deploy(service, "one")
    jumped: list[str] = []
    async with two_workers(world) as workers, asking(world) as failed:

        async def renewed(often: int) -> None:
            """Give both workers more time than a lease lasts, and as much cause to look."""
            seen = set()

            async def enough() -> bool:
                seen.add((await Service.get(id=service.id)).lease_until)
                for worker in workers:
                    worker.wake()
                return len(seen) > often

            await until(enough)

        async def jump_there(place: str) -> None:
            if place in PLACES and place not in jumped:
                jumped.append(place)
                clock.ahead += jump
                await renewed(4)

        for module in (building, instances, rollover, running):
            if hasattr(module, "failpoint"):
                monkeypatch.setattr(module, "failpoint", jump_there)
        await until(Lease.filter(id="reconciler").exists)
        holder = (await Lease.get(id="reconciler")).owner
        deployment = await world.queue(service, "two")

        async def is_over() -> bool:
            return (await Deployment.get(id=deployment.id)).status.is_final

        await until(is_over, seconds=30)
        row = await Deployment.get(id=deployment.id)
        assert tuple(jumped) == PLACES
        assert (row.status, row.reason) == (DeploymentStatus.LIVE, "")
        assert row.attempt == 1, "another worker took it over from one that was alive"
        assert set((await journal(row)).values()) <= {"SUCCEEDED", "SKIPPED"}
        assert (await Lease.get(id="reconciler")).owner == holder
        assert await world.answer() == "two"
    assert failed == []
    await assert_tidy(world, service, row)


@pytest.mark.parametrize("jump", [HOUR, -HOUR], ids=["forward", "back"])
async def test_a_duty_is_not_taken_from_the_living_after_a_jump(
    make_service: MakeService, clock: Clock, jump: float
) -> None:
    assert await duties.has_duty("d", owner="one", seconds=0.5)
    clock.ahead += jump
    assert not await duties.has_duty("d", owner="two", seconds=0.5)

    async def taken() -> bool:
        return await duties.has_duty("d", owner="two", seconds=0.5)

    # The one that had it is dead: it did not prolong it by the new clock either.
    await until(taken, seconds=5)


async def test_a_worker_seen_by_a_clock_that_was_ahead_is_not_alive(
    make_service: MakeService, clock: Clock
) -> None:
    await make_service()
    worker = await WorkerRow.create(
        name="a", host="h", version="0", concurrency=1, seen_at=utcnow()
    )
    assert is_alive(worker)
    clock.ahead -= HOUR
    assert not is_alive(worker)
