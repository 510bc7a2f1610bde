from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from helvetia.kernel.duties import has_duty, lay_down
from helvetia.kernel.models import Lease, Service, utcnow
from helvetia.kernel.pipeline.lease import LeaseLost, ServiceLease, release_dead

from .conftest import MakeService


async def acquire(service: Service, owner: str) -> ServiceLease | None:
    return await ServiceLease.acquire(service.id, owner=owner, seconds=30)


async def test_one_of_many_wins(make_service: MakeService) -> None:
    service = await make_service()
    won = await asyncio.gather(*(acquire(service, f"w{n}") for n in range(20)))
    assert sum(lease is not None for lease in won) == 1


async def test_an_expired_lease_is_taken_over_and_its_holder_fenced_off(
    make_service: MakeService,
) -> None:
    service = await make_service()
    first = await acquire(service, "one")
    assert first is not None
    await Service.filter(id=service.id).update(lease_until=utcnow() - timedelta(seconds=1))
    second = await acquire(service, "two")
    assert second is not None
    assert second.fence > first.fence

    async def write_late() -> None:
        async with first.fenced():
            await Service.filter(id=service.id).update(status_reason="from the dead")

    with pytest.raises(LeaseLost):
        await write_late()
    assert not await first.renew()
    await first.release()
    assert await second.renew()
    assert (await Service.get(id=service.id)).status_reason == ""


async def test_a_fenced_write_is_undone_as_a_whole_when_it_fails(make_service: MakeService) -> None:
    service = await make_service()
    lease = await acquire(service, "one")
    assert lease is not None

    async def half() -> None:
        async with lease.fenced():
            await Service.filter(id=service.id).update(status_reason="half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        await half()
    assert (await Service.get(id=service.id)).status_reason == ""


async def test_leases_of_the_dead_are_freed(make_service: MakeService) -> None:
    service = await make_service()
    assert await acquire(service, "up-1:host:1")
    assert await release_dead("up-1:") == 1
    assert await acquire(service, "up-1:host:2")


async def test_a_duty_has_one_holder(make_service: MakeService) -> None:
    took = await asyncio.gather(*(has_duty("d", owner=f"w{n}", seconds=30) for n in range(10)))
    assert took.count(True) == 1
    winner = f"w{took.index(True)}"
    assert await has_duty("d", owner=winner, seconds=30)
    await lay_down("d", owner=winner)
    assert await has_duty("d", owner="other", seconds=30)


@pytest.mark.parametrize("jump", [-1, 1], ids=["back", "forward"])
async def test_a_duty_survives_a_jump_of_the_clock(make_service: MakeService, jump: int) -> None:
    assert await has_duty("d", owner="one", seconds=10)
    # As if it had been taken by a clock that was wrong by an hour.
    await Lease.filter(id="d").update(until=utcnow() - jump * timedelta(hours=1))

    assert await has_duty("d", owner="two", seconds=10)
    assert not await has_duty("d", owner="one", seconds=10)


async def test_a_living_task_keeps_its_lease_whatever_the_clock_says(
    make_service: MakeService,
) -> None:
    """A clock that jumps must not make a process its own rival."""
    service = await make_service()
    lease = await acquire(service, "one")
    assert lease is not None
    async with lease.kept():
        for until in (utcnow() - timedelta(hours=1), utcnow() + timedelta(hours=1)):
            await Service.filter(id=service.id).update(lease_until=until)
            assert await acquire(service, "one") is None
        assert await lease.renew()
    assert await acquire(service, "one")
