"""What builds have in the engine: containers, networks and caches, all known by their labels."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import time
import uuid
from typing import Any

from aiodocker import Docker, DockerError

from helvetia.plugins.runtimes.docker.engine import Engine, remove_container, seconds
from helvetia.plugins.runtimes.docker.labels import (
    INSTALLATION,
    KIND,
    SERVICE,
    filters,
    object_name,
)

UNTIL = "helvetia.until"
_BUILDER, _CACHE = "builder", "cache"
_STARTING_SECONDS = 600
_DISCARD_SECONDS = 60


class Objects:
    """Makes, finds and removes them, those of one installation only."""

    def __init__(self, engine: Engine, installation: str) -> None:
        self._engine = engine
        self._installation = installation

    def name(self, what: str) -> str:
        """Return the name of something of ours in the engine."""
        return object_name(self._installation, what)

    def labels(self, *, service: str, kind: str = _BUILDER) -> dict[str, str]:
        """Return the labels of something of ours."""
        return {INSTALLATION: self._installation, KIND: kind, SERVICE: service}

    async def network(self, docker: Docker, name: str, service_id: str) -> str:
        """Make the network of a builder and return its id."""
        made = await docker.networks.create(
            {
                "Name": name,
                "Driver": "bridge",
                "Labels": self.labels(service=service_id),
                "Options": {"com.docker.network.bridge.enable_icc": "false"},
            }
        )
        return str(made.id)

    async def volume(self, service_id: str) -> str:
        """Return the name of the volume for the cache of a service, made if there is none."""
        name = self._cache_name(service_id)
        async with self._engine.session() as docker:
            labels = self.labels(service=service_id, kind=_CACHE)
            volumes: Any = docker.volumes
            await volumes.create({"Name": name, "Labels": labels})
            found = await (await volumes.get(name)).show()
            if labels.items() <= (found["Labels"] or {}).items():
                return name
        return ""  # it is somebody else's: build without a cache

    async def caches(self, service_id: str = "") -> list[tuple[str, str, float]]:
        """Return name, service and time of the caches, of all services or of one."""
        more = {"service": service_id} if service_id else {}
        mine = filters(installation=self._installation, kind=_CACHE, **more)
        async with self._engine.session() as docker:
            volumes: Any = docker.volumes
            found = (await volumes.list(filters=mine))["Volumes"] or []
        return [(one["Name"], one["Labels"][SERVICE], seconds(one["CreatedAt"])) for one in found]

    async def drop_cache(self, name: str) -> bool:
        """Remove a cache; False if somebody uses it, or it is gone."""
        async with self._engine.session() as docker:
            volumes: Any = docker.volumes
            try:
                await (await volumes.get(name)).delete()
            except DockerError as error:
                if error.status not in (404, 409):
                    raise
                return False
        return True

    async def megabytes(self, volume: str, image: str) -> int:
        """Return how much of the disk a cache takes; only a program beside it can tell."""
        name = self.name(f"look-{uuid.uuid4().hex[:12]}")
        config: Any = {
            "Image": image,
            "Entrypoint": ["du", "-sm", "/cache"],
            "Labels": self.labels(service=""),
            "NetworkDisabled": True,
            "HostConfig": {
                "NetworkMode": "none",
                "CapDrop": ["ALL"],
                "Mounts": [
                    {"Type": "volume", "Source": volume, "Target": "/cache", "ReadOnly": True}
                ],
            },
        }
        try:
            async with self._engine.session(_DISCARD_SECONDS) as docker:
                container = await docker.containers.create(config, name=name)
                await container.start()
                await container.wait()
                return int("".join(await container.log(stdout=True)).split()[0])
        finally:
            await asyncio.shield(self.discard(name))

    async def discard(self, name: str) -> None:
        """Remove a builder container and its network, and wait until they are gone."""
        async with self._engine.session(_DISCARD_SECONDS) as docker:
            await remove_container(docker, name)
            await _remove_network(docker, name)

    async def collect(self, service_id: str = "") -> None:
        """Remove what builds left of which nothing runs any more.

        Args:
            service_id: a service that has no build now: of this one all is removed.
        """
        mine = filters(installation=self._installation, kind=_BUILDER)
        async with self._engine.session(_DISCARD_SECONDS) as docker:
            names: set[str] = set()
            for one in await docker.containers.list(all=True, filters=mine):
                of_service = service_id and one["Labels"][SERVICE] == service_id
                if of_service or _is_left(one["State"], one["Created"], one["Labels"].get(UNTIL)):
                    await remove_container(docker, one["Id"])
                else:
                    names.update(name.removeprefix("/") for name in one["Names"])
            for network in await docker.networks.list(filters=mine):
                of_service = service_id and network["Labels"][SERVICE] == service_id
                if of_service or (
                    network["Name"] not in names
                    and _is_left("created", seconds(network["Created"]))
                ):
                    await _remove_network(docker, network["Id"])

    def _cache_name(self, service_id: str) -> str:
        return self.name(f"cache-{hashlib.sha256(service_id.encode()).hexdigest()[:24]}")


def _is_left(state: str, created: float, until: str | None = None) -> bool:
    """Tell whether nobody starts or runs it any more."""
    if until is not None and float(until) < time.time():
        return True
    if state == "created":
        return created < time.time() - _STARTING_SECONDS
    return state not in ("running", "restarting", "removing")


async def _remove_network(docker: Docker, name: str) -> None:
    """Remove a network; quiet if there is none, or somebody uses it."""
    with contextlib.suppress(DockerError):
        await (await docker.networks.get(name)).delete()
