"""What builds have in the engine: containers, networks and caches, all known by their labels."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
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

RECIPE = "helvetia.recipe"
_BUILDER = "builder"
# Longer than it takes from the network to the started container.
_STARTING_SECONDS = 50
_DISCARD_SECONDS = 60
_LOOK = """\
for place in /caches/*; do
    echo "$(du -sm "$place") $(stat -c %Y "$place/used" || echo 0)"
done 2> /dev/null
"""


@dataclass(frozen=True, slots=True)
class Use:
    """What a cache takes of the disk, and when a build began to use it last."""

    name: str
    megabytes: int
    since: float


class Objects:
    """Makes, finds and removes them, those of one installation only.

    Args:
        cache: the kind of the builder's caches; no two builders share one.
    """

    def __init__(self, engine: Engine, installation: str, cache: str = "cache") -> None:
        self._engine = engine
        self._installation = installation
        self._cache = cache
        # When what nobody seems to use was seen first, by a clock that nobody sets.
        self._seen: dict[str, float] = {}

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
            labels = self.labels(service=service_id, kind=self._cache)
            volumes: Any = docker.volumes
            await volumes.create({"Name": name, "Labels": labels})
            found = await (await volumes.get(name)).show()
            if labels.items() <= (found["Labels"] or {}).items():
                return name
        return ""  # it is somebody else's: build without a cache

    async def caches(self, service_id: str = "") -> list[tuple[str, str, float]]:
        """Return name, service and time of the caches, of all services or of one."""
        more = {"service": service_id} if service_id else {}
        mine = filters(installation=self._installation, kind=self._cache, **more)
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

    async def uses(self, volumes: Sequence[str], image: str) -> list[Use]:
        """Return how much of the disk caches take; only a program beside them can tell."""
        if not volumes:
            return []
        name = self.name(f"look-{uuid.uuid4().hex[:12]}")
        places = {f"/caches/{number}": volume for number, volume in enumerate(volumes)}
        config: Any = {
            "Image": image,
            "Entrypoint": ["/bin/sh", "-c", _LOOK],
            "Labels": self.labels(service=""),
            "NetworkDisabled": True,
            "HostConfig": {
                "NetworkMode": "none",
                "CapDrop": ["ALL"],
                "CapAdd": ["DAC_READ_SEARCH"],
                "Mounts": [
                    {"Type": "volume", "Source": volume, "Target": place, "ReadOnly": True}
                    for place, volume in places.items()
                ],
            },
        }
        try:
            async with self._engine.session(_DISCARD_SECONDS) as docker:
                container = await docker.containers.create(config, name=name)
                await container.start()
                await container.wait()
                lines = "".join(await container.log(stdout=True)).splitlines()
        finally:
            await asyncio.shield(self.discard(name))
        said = [line.split() for line in lines]
        return [Use(places[place], int(size), float(at)) for size, place, at in said]

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
            there: set[str] = set()
            for one in await docker.containers.list(all=True, filters=mine):
                there.add(one["Id"])
                of_service = service_id and one["Labels"][SERVICE] == service_id
                if of_service or self._is_left(one["Id"], one["State"]):
                    await remove_container(docker, one["Id"])
                else:
                    names.update(name.removeprefix("/") for name in one["Names"])
            for network in await docker.networks.list(filters=mine):
                there.add(network["Id"])
                of_service = service_id and network["Labels"][SERVICE] == service_id
                if of_service or (
                    network["Name"] not in names and self._is_left(network["Id"], "created")
                ):
                    await _remove_network(docker, network["Id"])
        self._seen = {id: since for id, since in self._seen.items() if id in there}

    async def former_images(self, repository: str, present: str, recipe: str) -> None:
        """Remove the images to build in that were made of a recipe before the present one.

        Those in use stay until the next look.

        Args:
            repository: how such images are named.
            present: the name of the present one.
            recipe: the value of the label `RECIPE` of this builder's; without one it is of a
                version of the platform that had no such label.
        """
        mine = filters(installation=self._installation, kind=_BUILDER)
        async with self._engine.session(_DISCARD_SECONDS) as docker:
            for one in await docker.images.list(filters=mine):
                names = one["RepoTags"] or []
                if one["Labels"].get(RECIPE, recipe) != recipe or present in names:
                    continue
                # A name that somebody else gave keeps it, and it goes by no other hand.
                ours = [name for name in names if name.startswith(f"{repository}:")]
                for name in ours or ([] if names else [one["Id"]]):
                    with contextlib.suppress(DockerError):
                        await docker.images.delete(name)

    def _is_left(self, id: str, state: str) -> bool:
        """Tell whether nobody starts or runs it any more."""
        if state != "created":
            return state not in ("running", "restarting", "removing")
        now = time.monotonic()
        return self._seen.setdefault(id, now) < now - _STARTING_SECONDS

    def _cache_name(self, service_id: str) -> str:
        return self.name(f"{self._cache}-{hashlib.sha256(service_id.encode()).hexdigest()[:24]}")


async def _remove_network(docker: Docker, name: str) -> None:
    """Remove a network; quiet if there is none, or somebody uses it."""
    with contextlib.suppress(DockerError):
        await (await docker.networks.get(name)).delete()
