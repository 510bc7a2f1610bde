"""A whole worker: what it takes when, and what it tidies up."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from helvetia import DIRECTORY, Artifact
from helvetia.kernel.locks import file_lock
from helvetia.kernel.models import Deployment, DeploymentStatus, Service
from helvetia.kernel.pipeline.queue import DeploymentRequest, enqueue
from helvetia.kernel.pipeline.workspaces import collect_workspaces, owner_mark
from helvetia.kernel.tidying import Artifacts
from helvetia.kernel.worker import Worker
from helvetia.programs import OWNER_VARIABLE

from .deploying import World, open_world, until

pytestmark = pytest.mark.e2e


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with open_world(tmp_path, HELVETIA_WORKERS="1") as world:
        yield world


@pytest.fixture
async def worker(world: World) -> AsyncIterator[Worker]:
    worker = Worker(world.platform)
    await worker.start()
    yield worker
    await worker.stop()


class Silence:
    """A log that nobody reads."""

    def line(self, text: str) -> None:
        pass

    def write(self, data: bytes, stream: str = "stdout") -> None:
        pass


async def push(world: World, worker: Worker, service: Service, version: str) -> Deployment:
    deployment = await world.queue(service, version)
    await worker.ring(deployment.id)
    return deployment


async def ended(*deployments: Deployment) -> bool:
    ids = [deployment.id for deployment in deployments]
    return not await Deployment.filter(id__in=ids, finished_at=None).exists()


async def test_a_service_that_is_pushed_all_the_time_lets_others_through(
    world: World, worker: Worker
) -> None:
    greedy, *others = [await world.create(name=name) for name in ("greedy", "b", "c", "d")]
    first = await push(world, worker, greedy, "v1")
    asked = [await push(world, worker, service, f"for {service.name}") for service in others]

    async def go_on() -> None:
        while True:
            deployment, _ = await enqueue(greedy, DeploymentRequest())
            await worker.ring(deployment.id)
            await asyncio.sleep(0.1)

    pushing = asyncio.create_task(go_on())
    try:
        await until(lambda: ended(*asked), seconds=40)
    finally:
        pushing.cancel()
    begun = Deployment.filter(service_id=greedy.id).exclude(started_at=None)
    last = max([row.started_at for row in await Deployment.filter(service_id__not=greedy.id)])
    before = await begun.filter(started_at__lt=last).exclude(id=first.id).count()
    assert before <= 1, "each of the others waits for one deployment of the greedy one at most"


async def test_artifacts_of_pushes_that_died_are_deleted(world: World, tmp_path: Path) -> None:
    service = await world.create()
    deployment = await world.deploy(service, "one")
    registry = world.platform.providers.registries.get("folder").provider
    kept = await registry.list(service.id)
    folder = tmp_path / "orphan"
    folder.mkdir()
    (folder / "file").write_text("of a worker that died")
    artifact = Artifact(kind=DIRECTORY, location=str(folder), processes={"web": ["true"]})
    orphan = await registry.push(artifact, service.id, Silence())
    artifacts = Artifacts(world.platform)
    await Deployment.filter(id=deployment.id).update(status=DeploymentStatus.RUNNING)

    await artifacts.collect()

    assert set(await registry.list(service.id)) == {*kept, orphan.digest}, "it may be under way"
    await Deployment.filter(id=deployment.id).update(status=DeploymentStatus.LIVE)
    await artifacts.collect()
    assert await registry.list(service.id) == kept


async def test_only_workspaces_of_the_dead_are_cleared(world: World) -> None:
    work = world.platform.home / "work"
    marks = [owner_mark(world.platform, name) for name in ("aa.1", "aa.2")]
    dead, living = [
        await asyncio.create_subprocess_exec(
            "sleep", "60", env={**os.environ, OWNER_VARIABLE: mark}
        )
        for mark in marks
    ]
    try:
        (work / "aa.1" / "checkout").mkdir(parents=True)
        async with file_lock(work / "aa.2" / "lock"):
            await collect_workspaces(world.platform)
            assert [path.name for path in work.iterdir()] == ["aa.2"]
        assert await asyncio.wait_for(dead.wait(), 10) == -signal.SIGKILL
        assert living.returncode is None
    finally:
        for process in (dead, living):
            if process.returncode is None:
                process.kill()
                await process.wait()
