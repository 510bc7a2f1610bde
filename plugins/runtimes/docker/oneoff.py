"""Processes that run once, in a container of their own."""

from __future__ import annotations

import asyncio
import contextlib
import os
import uuid
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

from aiodocker import Docker, DockerError
from aiodocker.containers import DockerContainer

from helvetia import InstanceSpec, LogSink
from helvetia.plugins.registry.common.settings import RegistrySettings
from helvetia.plugins.supervisor import try_lock

from . import labels
from .containers import configuration, not_started
from .engine import Engine, remove_container, uncut
from .images import obtain
from .logs import STREAMS, frames
from .networks import Networks
from .observing import last_run
from .settings import DockerSettings
from .terminal import AT_TERMINAL, DockerTerminal
from .volumes import Volumes

_KIND = "run"


class OneOff:
    """Runs them. A lock beside the platform's data says whether somebody still waits for one."""

    def __init__(
        self,
        engine: Engine,
        networks: Networks,
        settings: DockerSettings,
        volumes: Volumes,
        *,
        registry: RegistrySettings | None,
        installation: str,
        folder: Path,
    ) -> None:
        self._engine = engine
        self._networks = networks
        self._settings = settings
        self._volumes = volumes
        self._registry = registry
        self._installation = installation
        self._folder = folder

    async def run(self, spec: InstanceSpec, log: LogSink) -> int:
        """Run `spec.process` to its end and return its exit code."""
        async with self._created(spec, {}) as (docker, container):
            await self._start(spec, container)
            path = f"containers/{container.id}/logs"
            async with self._engine.get(docker, path, stdout=1, stderr=1, follow=1) as answer:
                async for stream, data in frames(answer):
                    log.write(data, STREAMS[stream])
            code, words = await self._ended(docker, container)
            if code != 0:
                log.line(words)
            return code

    async def terminal(self, spec: InstanceSpec, columns: int, rows: int) -> DockerTerminal:
        """Begin to run `spec.process` at a terminal."""
        async with contextlib.AsyncExitStack() as stack:
            docker, container = await stack.enter_async_context(self._created(spec, AT_TERMINAL))
            # Attached before it runs: not a byte is missed.
            stream = container.attach(stdin=True, stdout=True, stderr=True)
            await stack.enter_async_context(stream)  # type: ignore[arg-type] # its hints are narrow
            await self._start(spec, container)
            terminal = DockerTerminal(
                self._engine, container, stream, lambda: self._ended(docker, container)
            )
            await terminal.resize(columns, rows)
            terminal.whole = stack.pop_all()
            return terminal

    @contextlib.asynccontextmanager
    async def _created(
        self, spec: InstanceSpec, more: Mapping[str, Any]
    ) -> AsyncIterator[tuple[Docker, DockerContainer]]:
        """Lend a container that has not begun to run; it is gone afterwards."""
        async with self._engine.session(None) as docker:
            image = await obtain(docker, spec, self._registry)
            async with self._name(spec.service_id) as name:
                network = await self._networks.ensure(docker, spec.service_id)
                mounts = await self._volumes.ensure(docker, spec.service_id, spec.volumes)
                config = configuration(
                    spec, image, self._settings, network=network.id, mounts=mounts
                )
                ours = {  # and nothing by which a proxy would find it
                    labels.INSTALLATION: self._installation,
                    labels.KIND: _KIND,
                    labels.SERVICE: spec.service_id,
                    labels.RELEASE: spec.release_id,
                }
                config["Labels"] = labels.container_labels(image.labels, ours)
                try:
                    container = await uncut(docker.containers.create({**config, **more}, name=name))
                except DockerError as error:
                    raise not_started(spec, error.message) from error
                yield docker, container

    async def _start(self, spec: InstanceSpec, container: DockerContainer) -> None:
        try:
            await container.start()
        except DockerError as error:
            raise not_started(spec, error.message) from error

    async def _ended(self, docker: Docker, container: DockerContainer) -> tuple[int, str]:
        """Wait for the end of a container; return exit code and words for it."""
        await container.wait()
        return await last_run(self._engine, docker, await container.show())

    async def collect(self) -> None:
        """Remove the containers for which nobody waits any more, because it was killed."""
        for path in await asyncio.to_thread(lambda: list(self._folder.glob("*.lock"))):
            lock = await asyncio.to_thread(try_lock, path)
            if lock is not None:
                await self._clear(path.stem, lock)

    @contextlib.asynccontextmanager
    async def _name(self, service_id: str) -> AsyncIterator[str]:
        """Hold the name for a container, which is gone when the body has ended."""
        run = uuid.uuid4().hex
        lock = await asyncio.to_thread(try_lock, self._lock(run))
        assert lock is not None
        try:
            yield labels.object_name(self._installation, f"run-{run}")
        finally:
            # Shielded: a second cancel must not leave the container running.
            await asyncio.shield(self._clear(run, lock, service_id))

    async def _clear(self, run: str, lock: int, service_id: str = "") -> None:
        try:
            name = labels.object_name(self._installation, f"run-{run}")
            async with self._engine.session() as docker:
                await remove_container(docker, name)
                if service_id:
                    await self._networks.release(docker, service_id)
            await asyncio.to_thread(self._lock(run).unlink, missing_ok=True)
        finally:
            os.close(lock)

    def _lock(self, run: str) -> Path:
        return self._folder / f"{run}.lock"
