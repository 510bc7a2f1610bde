"""Two real workers that hear of work by the bell alone: none of them looks for any by itself."""

from __future__ import annotations

import copy
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from helvetia.cli.doorbell import Doorbell
from helvetia.kernel.models import Deployment, DeploymentStatus
from helvetia.kernel.presence import demand
from helvetia.kernel.rounds import Rounds
from helvetia.kernel.settings import KernelSettings
from helvetia.kernel.worker import WORK, Worker
from helvetia.plugins.brokers.redis.provider import RedisBroker
from tests.kernel.deploying import World, open_world, until
from tests.redis_server import RedisServer

pytestmark = pytest.mark.e2e


class Office:
    """Workers on one database, each with a bell of its own, and the bell of a control plane."""

    def __init__(self, world: World, redis: RedisServer) -> None:
        self.world = world
        self._redis = redis
        self.web = self._bell()
        self.workers: list[tuple[Worker, Doorbell]] = []

    async def hire(self, name: str, **options: Any) -> Worker:
        platform = copy.copy(self.world.platform)
        platform.worker = name
        platform.settings = copy.copy(platform.settings)
        platform.settings.kernel = platform.options.model_copy(update=options)
        bell = self._bell()
        worker = Worker(platform, bell.tell)
        # It looks once, at its start, and then only if it is woken.
        worker._reaping = Rounds(worker._reap, quick=1000, slow=1000)
        worker._rounds = (worker._reaping,)
        await worker.start()

        await bell.start(told=worker.hear, rung=worker.ring)
        self.workers.append((worker, bell))
        return worker

    async def close(self) -> None:
        for worker, bell in self.workers:
            await worker.stop()
            await bell.stop()
        await self.web.stop()

    def _bell(self) -> Doorbell:
        return Doorbell(RedisBroker(self._redis.url, prefix="helvetia:office"))


@pytest.fixture
async def office(tmp_path: Path, redis: RedisServer) -> AsyncIterator[Office]:
    async with open_world(tmp_path, HELVETIA_WORKERS="1") as world:
        office = Office(world, redis)
        try:
            yield office
        finally:
            await office.close()


async def live(*deployments: Deployment) -> bool:
    ids = [deployment.id for deployment in deployments]
    found = Deployment.filter(id__in=ids, status=DeploymentStatus.LIVE)
    return await found.count() == len(ids)


async def test_a_ring_begins_a_deployment(office: Office) -> None:
    await office.hire("a")
    service = await office.world.create()
    deployment = await office.world.queue(service, "one")
    office.web.ring(deployment.id)
    await until(lambda: live(deployment))


async def test_who_is_busy_has_the_others_look(office: Office) -> None:
    for name in ("a", "b"):
        await office.hire(name)
    services = [await office.world.create(name=f"s{number}") for number in range(4)]
    asked = [await office.world.queue(service, f"for {service.name}") for service in services]
    for deployment in asked:
        office.web.ring(deployment.id)
    await until(lambda: live(*asked), seconds=30)
    by = {row.worker for row in await Deployment.all()}
    assert by == {"a", "b"}


async def test_a_ring_at_a_worker_without_the_label_reaches_the_one_with_it(
    office: Office,
) -> None:
    await office.hire("plain")
    await office.hire("european", worker_labels="build,region=eu")
    service = await office.world.create()
    service.settings = {**service.settings, "worker_labels": ["region=eu"]}
    await service.save()
    for number in range(4):
        deployment = await office.world.queue(service, f"v{number}")
        office.web.ring(deployment.id)
        await until(partial(live, deployment))
    assert {row.worker for row in await Deployment.all()} == {"european"}


async def test_only_a_worker_with_the_label_takes_services_of_a_type(office: Office) -> None:
    by_type = {"type_labels": "procfile=build"}
    await office.hire("plain", **by_type)
    await office.hire("builder", worker_labels="build", **by_type)
    service = await office.world.create(type="procfile")
    for number in range(3):
        deployment = await office.world.queue(service, f"v{number}")
        office.web.ring(deployment.id)
        await until(partial(live, deployment))
    assert {row.worker for row in await Deployment.all()} == {"builder"}


def test_a_type_and_a_service_demand_together() -> None:
    options = KernelSettings(type_labels="docker=build, docker=region=eu,auto=build")
    assert options.labels_for("docker") == {"build", "region=eu"}
    assert demand("auto", {}, options) == {"build"}
    assert demand("static", {}, options) == frozenset()
    assert demand("auto", {"worker_labels": ["gpu"]}, options) == {"build", "gpu"}
    for wrong in ("docker", "docker=", "docker=Build"):
        with pytest.raises(ValueError, match="as `docker=build`"):
            KernelSettings(type_labels=wrong)


def test_settings_name_what_a_label_may_be(tmp_path: Path) -> None:
    assert KernelSettings(worker_labels="a, b=c ,").worker_labels
    with pytest.raises(ValueError, match="in lower case"):
        KernelSettings(worker_labels="Region=EU")


def test_without_a_broker_nothing_is_said() -> None:
    bell = Doorbell()
    bell.ring("0123456789abcdef")
    bell.tell(WORK)
    assert bell._saying == {}
