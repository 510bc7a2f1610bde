"""The builder `docker`."""

from __future__ import annotations

import asyncio
import functools
import os
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

from helvetia import OCI_IMAGE, Artifact, BuildContext, Builder, Check, Detection, Kernel
from helvetia.plugins.runtimes.docker.settings import DockerSettings

from .settings import DockerBuilderSettings

if TYPE_CHECKING:
    from .building import Building

_UNIX = "unix://"
_DEFAULT = "unix:///var/run/docker.sock"
OPTIONS = {
    "dockerfile": "path of the Dockerfile; by default the one in the context folder",
    "context": "folder whose files the build sees; the whole repository by default",
    "target": "stage of the Dockerfile to build; the last one by default",
    "args": "build arguments as `NAME=value NAME2='other value'`; anybody can read them in the "
    "image, so take `RUN --mount=type=secret,id=NAME` for the service's secret variables",
}


class DockerBuilder(Builder):
    """Builds each image in a container with an engine of its own.

    The files of the service are streamed into it and the image out of it; the engine of the
    host sees neither. What lasts is a volume per service, with the layers for the next build, and
    for some minutes the engine.
    """

    name = "docker"
    service_type = "docker"
    produces = (OCI_IMAGE,)
    options = OPTIONS

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel
        kernel.section(DockerBuilderSettings)

    @functools.cached_property
    def work(self) -> Building:
        """What does the work: imported when it is needed, for it takes a while."""
        from .building import Building

        return Building(self._kernel)

    async def check(self) -> Check:
        """Say whether the engine answers."""
        return await absent(self._kernel) or await self.work.check()

    async def setup(self) -> None:
        """Remove what builds left that were killed, if the engine answers."""
        if (await self.check()).ok:
            await self.work.objects.collect()

    async def close(self) -> None:
        """End the engines that wait for another build."""
        if "work" in self.__dict__:
            await self.work.close()

    async def detect(self, checkout: Path) -> Detection:
        """Look for a Dockerfile, else for something that one can be written for."""
        from .recipe import detect

        return await asyncio.to_thread(detect, checkout)

    async def build(self, context: BuildContext) -> Artifact:
        """Build the image in a container of its own and hand it on as an archive."""
        return await self.work.build(context)

    async def forget(self, service_id: str) -> int:
        """Remove the layers of former builds of a service, and the engine that waits."""
        return await self.work.forget(service_id)

    async def collect(self, used: Collection[str]) -> None:
        """Remove what builds left that were killed, and the caches of services that are gone."""
        if (await self.check()).ok:
            await self.work.collect(used)


async def absent(kernel: Kernel) -> Check | None:
    """Return what to say where there is no engine, for which nothing needs to be imported."""
    host = kernel.section(DockerSettings).host or os.environ.get("DOCKER_HOST") or _DEFAULT
    if await asyncio.to_thread(_is_absent, host):
        return Check(ok=False, reason=f"no Docker engine: there is no {host}")
    return None


def _is_absent(host: str) -> bool:
    """Tell whether it is a socket that does not exist, so that nobody needs to be asked."""
    try:
        os.stat(host.removeprefix(_UNIX))
    except FileNotFoundError:
        return host.startswith(_UNIX)
    except OSError:
        pass  # the engine's client says what is wrong
    return False
