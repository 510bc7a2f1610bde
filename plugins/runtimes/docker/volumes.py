"""The volumes of services: what outlives containers and releases."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aiodocker import Docker, DockerError

from helvetia import ReleaseFailed

from .engine import uncut
from .labels import INSTALLATION, KIND, SERVICE, VOLUME, filters, object_name

_KIND = "volume"


class Volumes:
    """The volumes of one installation."""

    def __init__(self, installation: str) -> None:
        self._installation = installation

    async def ensure(
        self, docker: Docker, service_id: str, paths: Mapping[str, str]
    ) -> list[dict[str, Any]]:
        """Return the mounts for a container; volumes that are missing are made.

        Args:
            paths: in the container, by the volume's name.

        Raises:
            ReleaseFailed: somebody else has a volume of that name.
        """
        mounts = []
        volumes: Any = docker.volumes  # the library has no types for them
        for volume, path in paths.items():
            name = object_name(self._installation, f"{service_id}-{volume}")
            labels = {INSTALLATION: self._installation, KIND: _KIND, SERVICE: service_id}
            labels[VOLUME] = volume
            made = await uncut(volumes.create({"Name": name, "Labels": labels}))
            # One that is there already is returned as it is.
            if not labels.items() <= ((await made.show()).get("Labels") or {}).items():
                raise ReleaseFailed(
                    f"the volume {name} belongs to somebody else",
                    hint="Look at it and remove it.",
                )
            mounts.append({"Type": "volume", "Source": name, "Target": path})
        return mounts

    async def remove(self, docker: Docker, service_id: str) -> None:
        """Remove all volumes of a service."""
        mine = filters(installation=self._installation, kind=_KIND, service=service_id)
        volumes: Any = docker.volumes
        for one in (await volumes.list(filters=mine))["Volumes"] or []:
            try:
                await (await volumes.get(one["Name"])).delete()
            except DockerError as error:
                if error.status != 404:
                    raise
