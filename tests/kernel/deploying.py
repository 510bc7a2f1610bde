"""A platform in this process with the real Git, processes and Traefik, and a worker's parts."""

from __future__ import annotations

import asyncio
import contextlib
import copy
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from helvetia.kernel.models import (
    OPEN_STATES,
    Deployment,
    Instance,
    Release,
    Service,
    StageRun,
    Team,
)
from helvetia.kernel.pipeline.queue import DeploymentRequest, enqueue
from helvetia.kernel.pipeline.running import Runner
from helvetia.kernel.platform import Platform
from helvetia.kernel.reconcile import Reconciler
from helvetia.kernel.settings import Settings
from tests.e2e.harness import Repository, free_port
from tests.e2e.killing import App


@dataclass
class World:
    platform: Platform
    folder: Path

    def __post_init__(self) -> None:
        self.runner = Runner(self.platform)
        self.reconciler = Reconciler(self.platform)
        self.app = App(self.folder / "repository", "web")

    def other_worker(self, name: str) -> Runner:
        """Return a worker of another name on the same database and folders."""
        platform = copy.copy(self.platform)
        platform.worker = name
        return Runner(platform)

    async def create(
        self, repository: Repository | None = None, *, name: str = "web", **values: object
    ) -> Service:
        team, _ = await Team.get_or_create(name="default")
        folder = (repository or self.app.repository).folder
        return await Service.create(
            team=team,
            name=name,
            source_url=str(folder),
            source_trusted=True,
            settings={"health": {"interval_seconds": 0.05}, "drain_seconds": 0},
            **values,
        )

    async def queue(self, service: Service, version: str) -> Deployment:
        self.app.commit(version)
        deployment, _ = await enqueue(service, DeploymentRequest())
        return deployment

    async def deploy(self, service: Service, version: str) -> Deployment:
        """Deploy a version to its end."""
        deployment = await self.queue(service, version)
        await self.runner(deployment.id)
        return await Deployment.get(id=deployment.id)

    async def reconcile(self) -> None:
        await self.reconciler.once()
        await self.reconciler.settled()

    async def answer(self) -> str | None:
        """Ask the service through the proxy; None if it is not there."""
        host, port = self.platform.edge
        headers = {"Host": f"{self.app.name}.localhost"}
        async with (
            aiohttp.ClientSession() as client,
            client.get(f"http://{host}:{port}/", headers=headers) as answer,
        ):
            return await answer.text() if answer.status == 200 else None


class Gate:
    """Holds a verb of a provider up, before or behind the real work."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, provider: Any, verb: str) -> None:
        self.reached = asyncio.Event()
        self.go = asyncio.Event()
        self._real = getattr(provider, verb)
        monkeypatch.setattr(provider, verb, self._held)

    async def _held(self, *arguments: Any) -> Any:
        self.reached.set()
        await self.go.wait()
        return await self._real(*arguments)


@contextlib.asynccontextmanager
async def open_world(folder: Path, **environment: str) -> AsyncIterator[World]:
    edge = f"127.0.0.1:{free_port()}"
    settings = Settings(folder / "home", {"HELVETIA_EDGE": edge, **environment})
    platform = Platform(settings)
    await platform.open()
    try:
        await platform.providers.setup(30)
        world = World(platform, folder)
        try:
            yield world
        finally:
            await world.runner.stop()
            for row in await Instance.all():
                runtime = platform.providers.runtimes.get(row.runtime)
                await runtime.provider.stop(row.id, 0)
            for entry in platform.providers.routers.all():
                await entry.provider.shutdown()
    finally:
        await platform.close()


async def until(condition: Callable[[], Awaitable[object]], *, seconds: float = 15) -> None:
    async with asyncio.timeout(seconds):
        while not await condition():
            await asyncio.sleep(0.02)


async def journal(deployment: Deployment) -> dict[str, str]:
    rows = await StageRun.filter(deployment_id=deployment.id).order_by("position")
    return {row.name: row.status.value for row in rows}


async def assert_tidy(world: World, service: Service, live: Deployment | None) -> None:
    """Make sure that one instance of one release runs, and nothing else is left."""
    service = await Service.get(id=service.id)
    assert service.lease_owner is None
    rows = await Instance.all()
    runtime = world.platform.providers.runtimes.get("process").provider
    there = {instance.id for instance in await runtime.list()}
    router = await world.platform.router()
    routes = await router.provider.routes()
    if live is None:
        assert (rows, there, routes) == ([], set(), [])
    else:
        (row,) = rows
        assert {row.id} == there
        assert row.release_id == service.live_release_id
        assert (await Release.get(id=row.release_id)).deployment_id == live.id
        assert [(route.release_id, route.backends[0].port) for route in routes] == [
            (row.release_id, row.port)
        ]
    work = world.platform.home / "work"
    assert not work.exists() or list(work.iterdir()) == []
    assert not await Deployment.filter(status__in=OPEN_STATES).exists()
