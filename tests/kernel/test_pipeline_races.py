"""Workers, people and the reconciler get in each other's way; parts of the platform fail."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from tortoise import connections
from tortoise.exceptions import OperationalError

from helvetia import ActivationFailed
from helvetia.kernel import environment
from helvetia.kernel.models import (
    Deployment,
    DeploymentStatus,
    Desired,
    EnvironmentVariable,
    Instance,
    Service,
    ServiceStatus,
    StageRun,
    StageStatus,
    utcnow,
)
from helvetia.kernel.pipeline.queue import DeploymentRequest, cancel, enqueue

from .deploying import Gate, World, assert_tidy, journal, open_world, until

pytestmark = pytest.mark.e2e


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with open_world(tmp_path, HELVETIA_LEASE_SECONDS="2") as world:
        yield world


async def sql(statement: str) -> None:
    await connections.get("sqlite").execute_script(statement)


def router(world: World) -> Any:
    return world.platform.providers.routers.get("traefik").provider


def runtime(world: World) -> Any:
    return world.platform.providers.runtimes.get("process").provider


async def test_a_worker_that_lost_its_lease_gives_up(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = await world.create()
    builder = world.platform.providers.builders.get("procfile").provider
    gate = Gate(monkeypatch, builder, "build")
    deployment = await world.queue(service, "one")
    first = asyncio.create_task(world.runner(deployment.id))
    await gate.reached.wait()
    # As if its event loop had stood still for longer than the lease lasts.
    await Service.filter(id=service.id).update(lease_until=utcnow() - timedelta(seconds=1))
    gate.reached.clear()
    second = asyncio.create_task(world.other_worker("other")(deployment.id))
    await gate.reached.wait()

    await asyncio.wait_for(first, 5)

    folders = list((world.platform.home / "work").iterdir())
    assert len(folders) == 1, "the one who gave up took the folder of the other away"
    gate.go.set()
    await second
    deployment = await Deployment.get(id=deployment.id)
    assert (deployment.status, deployment.attempt) == (DeploymentStatus.LIVE, 2)
    assert deployment.worker == "other"
    await assert_tidy(world, service, deployment)


async def test_of_two_workers_one_runs_it(world: World) -> None:
    service = await world.create()
    deployment = await world.queue(service, "one")

    await asyncio.gather(world.runner(deployment.id), world.other_worker("b")(deployment.id))

    deployment = await Deployment.get(id=deployment.id)
    assert (deployment.status, deployment.attempt) == (DeploymentStatus.LIVE, 1)


async def test_a_deployment_whose_worker_died_comes_before_a_newer_one(world: World) -> None:
    service = await world.create()
    older = await world.queue(service, "older")
    await Deployment.filter(id=older.id).update(status=DeploymentStatus.RUNNING, attempt=1)
    newer = await world.queue(service, "newer")

    await world.runner(newer.id)

    assert (await Deployment.get(id=newer.id)).status is DeploymentStatus.QUEUED
    await world.runner(older.id)
    await world.runner(newer.id)
    assert await world.answer() == "newer"
    await assert_tidy(world, service, newer)


async def test_cancel_during_the_switch_comes_too_late(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = await world.create()
    gate = Gate(monkeypatch, router(world), "activate")
    deployment = await world.queue(service, "one")
    running = asyncio.create_task(world.runner(deployment.id))
    await gate.reached.wait()
    await cancel(deployment, actor="me")
    # Long enough to be heard, if somebody listened.
    await asyncio.wait([running], timeout=1)
    gate.go.set()
    await running

    assert (await Deployment.get(id=deployment.id)).status is DeploymentStatus.LIVE
    await assert_tidy(world, service, deployment)


@pytest.mark.parametrize("verb", ["start", "observe", "stop", "remove"])
async def test_a_failing_runtime(world: World, monkeypatch: pytest.MonkeyPatch, verb: str) -> None:
    service = await world.create()
    first = await world.deploy(service, "one")

    async def fail(*_: object) -> None:
        raise RuntimeError("the runtime is broken")

    with monkeypatch.context() as broken:
        broken.setattr(runtime(world), verb, fail)
        second = await world.deploy(service, "two")
    if verb in ("stop", "remove"):
        # What cannot be removed now is removed later; the new version is live.
        assert (second.status, await world.answer()) == (DeploymentStatus.LIVE, "two")
        assert (await journal(second))["retire"] == "FAILED"
        await world.reconcile()
        await assert_tidy(world, service, second)
    else:
        assert second.status is DeploymentStatus.FAILED
        assert "the runtime is broken" in second.reason
        assert await world.answer() == "one"
        await world.reconcile()
        await assert_tidy(world, service, first)


@pytest.mark.parametrize("problem", [ActivationFailed("no"), RuntimeError("bug")])
async def test_a_router_that_refuses(
    world: World, monkeypatch: pytest.MonkeyPatch, problem: Exception
) -> None:
    service = await world.create()
    first = await world.deploy(service, "one")

    async def fail(_: object) -> None:
        raise problem

    with monkeypatch.context() as broken:
        broken.setattr(router(world), "activate", fail)
        second = await world.deploy(service, "two")

    assert second.status is DeploymentStatus.FAILED
    assert str(problem) in second.reason
    assert await world.answer() == "one"
    await assert_tidy(world, service, first)


@pytest.mark.parametrize("is_first", [True, False])
async def test_the_switch_cannot_be_committed(world: World, is_first: bool) -> None:
    """The route leads to the new version when it turns out that it must not be live."""
    service = await world.create()
    former = None if is_first else await world.deploy(service, "one")
    await sql(
        "CREATE TRIGGER broken BEFORE UPDATE OF live_release_id ON service"
        " WHEN new.live_release_id IS NOT old.live_release_id"
        " BEGIN SELECT RAISE(ABORT, 'the disk is broken'); END"
    )

    second = await world.deploy(service, "two")

    await sql("DROP TRIGGER broken")
    assert second.status is DeploymentStatus.FAILED
    assert "the disk is broken" in second.reason
    assert await world.answer() == (None if is_first else "one")
    await assert_tidy(world, service, former)


async def test_a_route_without_a_live_version_is_taken_away(world: World) -> None:
    """As a worker leaves it that dies after the first switch and before its commit."""
    service = await world.create()
    first = await world.deploy(service, "one")
    await Service.filter(id=service.id).update(live_release_id=None)
    await Instance.filter(id=first.id).delete()
    await runtime(world).stop(first.id, 0)
    await runtime(world).remove(first.id)

    await world.reconcile()

    await assert_tidy(world, service, None)


async def test_a_failing_log_store_holds_nothing_up(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = await world.create()
    await world.deploy(service, "one")
    gate = Gate(monkeypatch, world.platform.providers.builders.get("procfile").provider, "build")
    second = await world.queue(service, "two")
    running = asyncio.create_task(world.runner(second.id))
    await gate.reached.wait()
    await sql("ALTER TABLE log_segment RENAME TO away")
    gate.go.set()

    await running

    await sql("ALTER TABLE away RENAME TO log_segment")
    second = await Deployment.get(id=second.id)
    assert second.status is DeploymentStatus.LIVE, second.reason
    assert await world.answer() == "two"
    # The last lines of the former version were not lost: it was kept until they can be.
    await world.reconcile()
    await assert_tidy(world, service, second)


async def test_a_log_store_that_is_away_at_the_beginning(world: World) -> None:
    service = await world.create()
    deployment = await world.queue(service, "one")
    await sql("ALTER TABLE log_segment RENAME TO away")
    for _ in range(5):
        with pytest.raises(OperationalError):
            await world.runner(deployment.id)
    await sql("ALTER TABLE away RENAME TO log_segment")

    await world.runner(deployment.id)

    deployment = await Deployment.get(id=deployment.id)
    assert (deployment.status, deployment.attempt) == (DeploymentStatus.LIVE, 1)
    await assert_tidy(world, service, deployment)


async def test_a_secret_that_cannot_be_read_ends_the_deployment(world: World) -> None:
    service = await world.create()
    await environment.change(service, world.platform.vault, set={"KEY": "value"})
    await EnvironmentVariable.filter(service_id=service.id).update(value="garbage")

    deployment = await world.deploy(service, "one")

    assert deployment.status is DeploymentStatus.FAILED
    assert deployment.reason_code != "internal"
    await assert_tidy(world, service, None)


@pytest.mark.parametrize("desired", [Desired.STOPPED, Desired.DELETED])
async def test_a_deployment_of_an_unwanted_service_is_called_off(
    world: World, desired: Desired
) -> None:
    """As a control plane leaves it that dies between the wish and the cancelling."""
    service = await world.create()
    deployment = await world.queue(service, "one")
    await Service.filter(id=service.id).update(desired=desired)

    await world.runner(deployment.id)

    assert (await Deployment.get(id=deployment.id)).status is DeploymentStatus.CANCELLED
    await world.reconcile()
    if desired is Desired.STOPPED:
        assert (await Service.get(id=service.id)).status is ServiceStatus.STOPPED
        await assert_tidy(world, service, None)
    else:
        assert not await Service.exists()


async def test_stopped_during_the_switch(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    service = await world.create()
    await world.deploy(service, "one")
    gate = Gate(monkeypatch, router(world), "activate")
    deployment = await world.queue(service, "two")
    running = asyncio.create_task(world.runner(deployment.id))
    await gate.reached.wait()
    await Service.filter(id=service.id).update(desired=Desired.STOPPED)
    await world.reconcile()
    gate.go.set()
    await running
    assert (await Deployment.get(id=deployment.id)).status is DeploymentStatus.LIVE

    await world.reconcile()

    assert (await Service.get(id=service.id)).status is ServiceStatus.STOPPED
    await assert_tidy(world, service, None)


async def test_a_worker_told_to_stop_while_it_claims(world: World) -> None:
    service = await world.create()
    deployment = await world.queue(service, "one")
    running = asyncio.create_task(world.runner(deployment.id))
    # Until the claim has begun, and not longer.
    await asyncio.sleep(0)

    async with asyncio.timeout(10):
        await world.runner.stop()

    assert running.done() or (await asyncio.wait([running], timeout=1))[0]
    row = await Deployment.get(id=deployment.id)
    assert row.status in (DeploymentStatus.QUEUED, DeploymentStatus.RUNNING)
    assert row.attempt == 0
    assert (await Service.get(id=service.id)).lease_owner is None
    await world.other_worker("next")(deployment.id)
    assert (await Deployment.get(id=deployment.id)).status is DeploymentStatus.LIVE


async def test_after_the_switch_no_stage_can_fail_the_deployment(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = await world.create()
    await world.deploy(service, "one")

    async def hang(_: object) -> int:
        await asyncio.Event().wait()
        return 0

    with monkeypatch.context() as broken:
        broken.setattr(runtime(world), "connections", hang)
        broken.setattr(world.platform.options, "stage_timeout_seconds", 3.0)
        second = await world.deploy(service, "two")

    stages = await journal(second)
    assert (second.status, stages["drain"], stages["retire"]) == (
        DeploymentStatus.LIVE, "FAILED", "SUCCEEDED",
    )  # fmt: skip
    await assert_tidy(world, service, second)


async def test_an_ended_live_version_is_started_before_a_long_build(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = await world.create()
    first = await world.deploy(service, "one")
    await runtime(world).stop(first.id, 0)
    assert await world.answer() is None
    gate = Gate(monkeypatch, world.platform.providers.builders.get("procfile").provider, "build")
    deployment = await world.queue(service, "two")
    running = asyncio.create_task(world.runner(deployment.id))
    await gate.reached.wait()

    async def answers() -> bool:
        return await world.answer() == "one"

    await until(answers)
    await cancel(deployment, actor="me")
    await running
    assert (await Deployment.get(id=deployment.id)).status is DeploymentStatus.CANCELLED
    await assert_tidy(world, service, first)


def work_of(world: World, stage: str) -> tuple[Any, str]:
    """Return the provider that does the work of a stage, and its verb."""
    providers = world.platform.providers
    return {
        "fetch": (providers.sources.get("git").provider, "checkout"),
        "detect": (providers.builders.get("procfile").provider, "detect"),
        "build": (providers.builders.get("procfile").provider, "build"),
        "push": (providers.registries.get("folder").provider, "push"),
        "start": (runtime(world), "start"),
        "probe": (runtime(world), "observe"),
        "activate": (router(world), "activate"),
    }[stage]


@pytest.mark.parametrize(
    "stage", ["fetch", "detect", "build", "push", "start", "probe", "activate"]
)
async def test_each_stage_is_limited(
    world: World, monkeypatch: pytest.MonkeyPatch, stage: str
) -> None:
    service = await world.create()
    gate = Gate(monkeypatch, *work_of(world, stage))

    async def shorten(place: str) -> None:
        if place == f"{stage}:before":
            monkeypatch.setattr(world.platform.options, "stage_timeout_seconds", 2)

    monkeypatch.setattr("helvetia.kernel.pipeline.running.failpoint", shorten)

    deployment = await world.deploy(service, "one")

    assert gate.reached.is_set()
    assert deployment.status is DeploymentStatus.FAILED
    assert deployment.reason_code == "timeout"
    assert deployment.reason.startswith(f"stage {stage} took longer than 2 s")
    assert (await journal(deployment))[stage] == "FAILED"
    await assert_tidy(world, service, None)


@pytest.mark.parametrize("stage", ["fetch", "detect", "build", "push", "start", "probe"])
async def test_cancel_in_a_stage_leaves_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch, stage: str
) -> None:
    service = await world.create()
    first = await world.deploy(service, "one")
    gate = Gate(monkeypatch, *work_of(world, stage))
    deployment = await world.queue(service, "two")
    if stage == "probe":
        monkeypatch.setattr("helvetia.kernel.pipeline.running.revive", nothing)
    running = asyncio.create_task(world.runner(deployment.id))
    await gate.reached.wait()
    began = asyncio.get_running_loop().time()

    await cancel(deployment, actor="me")
    await running

    assert asyncio.get_running_loop().time() - began < 5
    monkeypatch.undo()
    row = await Deployment.get(id=deployment.id)
    assert row.status is DeploymentStatus.CANCELLED
    assert (await journal(row))[stage] == "CANCELLED"
    assert await world.answer() == "one"
    await assert_tidy(world, service, first)


async def nothing(*_: object) -> int:
    return 0


async def test_the_journal_of_a_deployment_whose_release_was_kept(world: World) -> None:
    """The worker died after the release was kept and before the stage `push` was marked."""
    service = await world.create()
    deployment = await world.deploy(service, "one")
    await Deployment.filter(id=deployment.id).update(status=DeploymentStatus.RUNNING)
    stages = StageRun.filter(deployment_id=deployment.id)
    await stages.filter(name="push").update(status=StageStatus.RUNNING, finished_at=None)
    await stages.filter(name="activate").update(status=StageStatus.RUNNING, finished_at=None)

    await world.runner(deployment.id)

    assert set((await journal(deployment)).values()) <= {"SUCCEEDED", "SKIPPED"}
    deployment = await Deployment.get(id=deployment.id)
    assert deployment.status is DeploymentStatus.LIVE


async def test_a_lease_of_a_clock_that_was_ahead_is_void(world: World) -> None:
    service = await world.create()
    deployment = await world.queue(service, "one")
    ahead = utcnow() + timedelta(hours=1)
    await Service.filter(id=service.id).update(lease_owner="dead", lease_until=ahead)

    await world.runner(deployment.id)

    assert (await Deployment.get(id=deployment.id)).status is DeploymentStatus.LIVE


async def test_a_lease_that_is_taken_away_ends_the_block(world: World) -> None:
    from helvetia.kernel.pipeline.lease import LeaseLost, ServiceLease

    service = await world.create()
    lease = await ServiceLease.acquire(service.id, owner="one", seconds=0.3)
    assert lease is not None

    async def work() -> None:
        async with lease.kept():
            await Service.filter(id=service.id).update(lease_owner="two")
            await asyncio.Event().wait()

    with pytest.raises(LeaseLost):
        await asyncio.wait_for(work(), 5)
    assert (await Service.get(id=service.id)).lease_owner == "two"


async def test_a_database_that_is_away_for_a_moment_costs_no_lease(world: World) -> None:
    from helvetia.kernel.pipeline.lease import ServiceLease

    service = await world.create()
    lease = await ServiceLease.acquire(service.id, owner="one", seconds=1.5)
    assert lease is not None

    async with lease.kept():
        await sql("ALTER TABLE service RENAME TO away")
        await asyncio.sleep(0.7)
        await sql("ALTER TABLE away RENAME TO service")
        before = (await Service.get(id=service.id)).lease_until

        async def renewed() -> bool:
            return (await Service.get(id=service.id)).lease_until != before

        await until(renewed)
    assert (await Service.get(id=service.id)).lease_owner is None


async def test_a_rollback_that_is_run_again_after_the_switch(world: World) -> None:
    service = await world.create()
    first = await world.deploy(service, "one")
    second = await world.deploy(service, "two")
    back, _ = await enqueue(service, DeploymentRequest(action="rollback"))
    await world.runner(back.id)
    await Deployment.filter(id=back.id).update(status=DeploymentStatus.RUNNING)

    await world.runner(back.id)

    assert (await Deployment.get(id=back.id)).status is DeploymentStatus.LIVE
    assert (await Deployment.get(id=second.id)).status is DeploymentStatus.ROLLED_BACK
    with contextlib.suppress(TimeoutError):
        assert await world.answer() == "one"
    await assert_tidy(world, service, first)
