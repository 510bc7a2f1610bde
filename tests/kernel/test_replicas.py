"""Several instances of a release: rolled together, and one at a time when one of them fails."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from helvetia.kernel.models import (
    Deployment,
    DeploymentStatus,
    Instance,
    InstanceStatus,
    Release,
    Service,
    ServiceStatus,
)
from helvetia.kernel.pipeline.queue import DeploymentRequest, enqueue
from helvetia.kernel.tidying import Artifacts

from .deploying import Gate, World, open_world, until

pytestmark = pytest.mark.e2e


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with open_world(tmp_path) as world:
        yield world


async def create(world: World, **settings: object) -> Service:
    service = await world.create()
    await change(service, **settings)
    return await Service.get(id=service.id)


async def change(service: Service, **settings: object) -> None:
    service.settings = {**service.settings, **settings}
    await Service.filter(id=service.id).update(settings=service.settings)


async def act(world: World, service: Service, action: str) -> Deployment:
    deployment, _ = await enqueue(service, DeploymentRequest(action=action))
    await world.runner(deployment.id)
    return await Deployment.get(id=deployment.id)


def runtime(world: World) -> Any:
    return world.platform.providers.runtimes.get("process").provider


async def routed(world: World) -> set[tuple[str, int]]:
    router = await world.platform.router()
    return {(b.host, b.port) for route in await router.provider.routes() for b in route.backends}


async def assert_run(world: World, service: Service, *ids: str) -> None:
    """Make sure that these instances run, are live and get requests, and that no others do."""
    rows = await Instance.all().order_by("id")
    assert [row.id for row in rows] == sorted(ids)
    assert {row.status for row in rows} <= {InstanceStatus.LIVE}
    assert sorted(one.id for one in await runtime(world).list()) == sorted(ids)
    assert await routed(world) == {(row.host, row.port) for row in rows}
    service = await Service.get(id=service.id)
    assert (service.status, service.status_reason) == (ServiceStatus.ACTIVE, "")
    assert service.lease_owner is None


async def test_replicas_are_rolled_together_and_frozen_in_their_release(world: World) -> None:
    service = await create(world, replicas=3)
    first = await world.deploy(service, "one")
    assert first.status is DeploymentStatus.LIVE, first.reason
    await assert_run(world, service, first.id, f"{first.id}-2", f"{first.id}-3")

    await change(service, replicas=2)
    await world.reconcile()
    await assert_run(world, service, first.id, f"{first.id}-2", f"{first.id}-3")
    again = await act(world, service, "restart")
    await assert_run(world, service, again.id, f"{again.id}-2")
    await change(service, replicas=1)
    second = await world.deploy(service, "two")
    await assert_run(world, service, second.id)
    assert await world.answer() == "two"

    back = await act(world, service, "rollback")
    await assert_run(world, service, back.id, f"{back.id}-2")
    assert await world.answer() == "one"


async def test_nothing_of_a_release_goes_live_if_one_instance_is_not_healthy(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = await create(world, replicas=2)
    first = await world.deploy(service, "one")
    start = runtime(world).start

    async def second_fails(spec: Any) -> Any:
        if spec.id.endswith("-2"):
            spec.artifact.artifact.processes["web"] = ["sh", "-c", "exit 3"]
        return await start(spec)

    monkeypatch.setattr(runtime(world), "start", second_fails)
    second = await world.deploy(service, "two")
    assert (second.status, second.reason_code) == (DeploymentStatus.FAILED, "never-healthy")
    assert "exited with code 3" in second.reason
    await assert_run(world, service, first.id, f"{first.id}-2")
    assert await world.answer() == "one"


async def test_a_replica_that_ended_gets_no_requests_until_it_is_healthy(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = await create(world, replicas=3)
    first = await world.deploy(service, "one")
    ids = [first.id, f"{first.id}-2", f"{first.id}-3"]
    rows = {row.id: row for row in await Instance.all()}
    lost = rows.pop(ids[1])
    await runtime(world).stop(lost.id, 0)
    gate = Gate(monkeypatch, runtime(world), "start")
    repair = asyncio.create_task(world.reconcile())
    await gate.reached.wait()
    assert await routed(world) == {(row.host, row.port) for row in rows.values()}
    assert await world.answer() == "one"
    gate.go.set()
    await repair
    await world.reconcile()
    await assert_run(world, service, *ids)


async def test_how_many_run_is_told(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    service = await create(world, replicas=3)
    first = await world.deploy(service, "one")
    assert first.status is DeploymentStatus.LIVE
    lost = await Instance.get(id=f"{first.id}-3")
    start = runtime(world).start

    async def exits(spec: Any) -> Any:
        spec.artifact.artifact.processes["web"] = ["sh", "-c", "exit 3"]
        return await start(spec)

    monkeypatch.setattr(runtime(world), "start", exits)
    await runtime(world).stop(lost.id, 0)
    await world.reconcile()
    seen = await Service.get(id=service.id)
    assert seen.status is ServiceStatus.ACTIVE
    assert seen.status_reason.startswith("2 of 3 instances run: the live version ")
    assert (lost.host, lost.port) not in await routed(world)
    assert await world.answer() == "one"

    # It crashes on and on, and the runtime starts it again and again.
    async def told() -> bool:
        await world.reconcile()
        now = await Service.get(id=service.id)
        assert now.status is ServiceStatus.ACTIVE
        return "2 of 3 instances run: crash loop: " in now.status_reason

    await until(told)
    assert len(await routed(world)) == 2
    monkeypatch.undo()
    await runtime(world).stop(lost.id, 0)
    await world.reconcile()
    await world.reconcile()
    await assert_run(world, service, *(row.id for row in await Instance.all()))


async def test_instances_that_are_all_lost_come_back(world: World) -> None:
    service = await create(world, replicas=2)
    await world.deploy(service, "one")
    for row in await Instance.all():
        await runtime(world).stop(row.id, 0)
        await runtime(world).remove(row.id)
    await Instance.all().delete()
    await world.reconcile()
    service = await Service.get(id=service.id)
    (release,) = await Release.all()
    first = next(row.id for row in await Instance.all().order_by("id"))
    assert first.startswith(f"{release.id}-")
    await assert_run(world, service, first, f"{first}-2")


async def test_a_runtime_without_volumes_refuses_them(world: World) -> None:
    service = await create(world, volumes={"data": "/srv/data"})
    deployment = await world.deploy(service, "one")
    assert deployment.status is DeploymentStatus.FAILED
    assert "process has no volumes" in deployment.reason
    await change(service, volumes={})
    assert (await world.deploy(service, "two")).status is DeploymentStatus.LIVE
    await change(service, volumes={"data": "/srv/data"})
    restarted = await act(world, service, "restart")
    assert "the runtime process keeps no volumes" in restarted.reason
    assert await world.answer() == "two"


async def test_artifacts_stay_within_their_space(world: World) -> None:
    service = await create(world)
    registry = world.platform.providers.registries.get("folder").provider
    artifacts = Artifacts(world.platform)
    for version in ("one", "two", "three", "four"):
        await world.deploy(service, version)

    async def kept() -> list[int]:
        await artifacts.collect()
        digests = set(await registry.list(service.id))
        releases = await Release.all().order_by("number")
        return [release.number for release in releases if release.artifact["digest"] in digests]

    assert await kept() == [1, 2, 3, 4]
    size = (await Release.get(number=1)).artifact["bytes"]
    # As if the artifacts were larger than the least space that can be set.
    for release in await Release.all():
        await Release.filter(id=release.id).update(artifact={**release.artifact, "bytes": 10**6})
    assert size > 0
    world.platform.options.artifacts_mb = 3
    assert await kept() == [2, 3, 4]
    world.platform.options.artifacts_mb = 1
    assert await kept() == [3, 4], "the live one, and what a plain rollback brings back"
    back = await act(world, service, "rollback")
    assert back.status is DeploymentStatus.LIVE
    assert await kept() == [3]
    gone, _ = await enqueue(service, DeploymentRequest(action="rollback", release=1))
    await world.runner(gone.id)
    gone = await Deployment.get(id=gone.id)
    assert "the artifact of release 1 is gone from folder" in gone.reason
