"""The builder `buildah`."""

from __future__ import annotations

import asyncio
import dataclasses
import functools
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

from helvetia import OCI_IMAGE, Artifact, BuildContext, Builder, Check, Detection, Kernel
from helvetia.plugins.builders.docker.builder import OPTIONS, absent
from helvetia.plugins.runtimes.docker.settings import DockerSettings

from .settings import BuildahSettings

if TYPE_CHECKING:
    from .building import Building


class BuildahBuilder(Builder):
    """Builds each image with buildah in a container of its own that has no privileges.

    The files of the service are streamed into it and the image out of it. What lasts is a volume
    per service, with the layers for the next build.
    """

    name = "buildah"
    service_type = "buildah"
    produces = (OCI_IMAGE,)
    options = OPTIONS

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel
        self._preferred = kernel.section(BuildahSettings).preferred
        kernel.section(DockerSettings)

    @functools.cached_property
    def work(self) -> Building:
        """What does the work: imported when it is needed, for it takes a while."""
        from .building import Building

        return Building(self._kernel)

    async def check(self) -> Check:
        """Say whether the engine answers, and whether it has the image to build in."""
        return await absent(self._kernel) or await self.work.check()

    async def setup(self) -> None:
        """Remove what builds left that were killed, if the engine answers."""
        if (await self.check()).ok:
            await self.work.objects.collect()

    async def detect(self, checkout: Path) -> Detection:
        """Look for what the builder `docker` builds, and leave it to that one unless told."""
        from helvetia.plugins.builders.docker.recipe import detect

        found = await asyncio.to_thread(detect, checkout)
        if not found.score:
            return found
        if self._preferred:
            reason = f"{found.reason}; `preferred` in section [buildah] is set"
            return dataclasses.replace(found, score=min(100, found.score + 1), reason=reason)
        reason = f"{found.reason}; only where a service names it, or `preferred` is set"
        return dataclasses.replace(found, score=1, reason=reason)

    async def build(self, context: BuildContext) -> Artifact:
        """Build the image in a container of its own and hand it on as an archive."""
        return await self.work.build(context)

    async def forget(self, service_id: str) -> int:
        """Remove the layers of former builds of a service."""
        return await self.work.forget(service_id)

    async def collect(self, used: Collection[str]) -> None:
        """Remove what builds left that were killed, and the caches of services that are gone."""
        if (await self.check()).ok:
            await self.work.collect(used)
