"""The way of a build through a container of its own, and the cache it leaves, whatever builds."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from typing import ClassVar

from helvetia import Artifact, BuildContext, Check, Kernel
from helvetia.plugins.runtimes.docker.engine import Engine
from helvetia.plugins.runtimes.docker.settings import DockerSettings

from .container import Container, Limits, Setup, Wanted
from .context import FOLDER
from .images import BaseImage, BuilderImage
from .objects import Objects
from .recipe import Recipe
from .settings import BuildSettings
from .steps import Steps
from .watch import Watch
from .work import (
    archive_of,
    bases,
    build,
    files_of,
    options_of,
    receive,
    script,
    secret_options,
    secrets_of,
    tell,
)

_TOO_LARGE = 3  # exit code of the scripts
_UNUSED_SECONDS = 600
_LOOK_SECONDS = 600


class Flow(ABC):
    """Builds each image in a container of its own.

    Attributes:
        package: where the scripts and the recipe of the image to build in are.
        example: an image that would do as well.
        cache: the kind of its caches; see `Objects`.
    """

    package: ClassVar[str]
    example: ClassVar[str]
    cache: ClassVar[str]

    def __init__(self, kernel: Kernel, settings: BuildSettings) -> None:
        self.settings = settings
        self.engine = Engine(kernel.section(DockerSettings).host)
        self.objects = Objects(self.engine, kernel.installation, self.cache)
        self._look_again_at = 0.0
        self.image = BuilderImage(
            self.engine,
            settings,
            self.objects.labels(service=""),
            package=self.package,
            example=self.example,
        )

    # --- what a builder does its own way ---------------------------------------------------

    @abstractmethod
    async def _build(
        self, context: BuildContext, recipe: Recipe, limits: Limits, steps: Steps
    ) -> str:
        """Lend a container, build `_through` it, and say by what it was built."""

    @abstractmethod
    def _setup(self) -> Setup:
        """Return what is peculiar to its containers."""

    @abstractmethod
    def _environment(self) -> Mapping[str, str]:
        """Return the variables of its containers."""

    @abstractmethod
    async def _load(self, context: BuildContext, container: Container, base: BaseImage) -> None:
        """Bring a base image of the operator's."""

    @abstractmethod
    def _options(self, recipe: Recipe, container: Container) -> Sequence[str]:
        """Return the arguments of build.sh that others do not have."""

    async def _keep(self, context: BuildContext, container: Container) -> bool:
        """Keep no more of the cache than is wanted; say whether that was possible."""
        return False

    async def _let_go(self, service_id: str) -> None:
        """Have nothing of ours use the cache of a service that has no build now."""

    # --- what all have in common -----------------------------------------------------------

    async def check(self) -> Check:
        """Say whether the engine answers."""
        return await self.engine.check()

    async def build(self, context: BuildContext) -> Artifact:
        """Build the image in a container of its own and hand it on as an archive."""
        return await build(context, self.settings, self._build)

    async def forget(self, service_id: str) -> int:
        """Remove what former builds of a service left for the next one; return its bytes."""
        await self._let_go(service_id)
        await self.objects.collect(service_id)
        return sum([await self._drop(name) for name, _, _ in await self.objects.caches(service_id)])

    async def collect(self, used: Collection[str]) -> None:
        """Remove what builds left that were killed, the caches of services that are gone, and
        the longest unused of the others where all together take too much.
        """
        await self.objects.collect()
        await self.image.collect(self.objects)
        kept: dict[str, str] = {}
        for name, service, made in await self.objects.caches():
            if service in used or made > time.time() - _UNUSED_SECONDS:
                kept[name] = service
                continue
            await self._let_go(service)
            await self.objects.drop_cache(name)
        await self._bound(kept)

    async def _bound(self, kept: Mapping[str, str]) -> None:
        """Keep caches, whose services are given, within the limit of all; not by those in use."""
        limit, each = self.settings.caches_mb, self.settings.cache_mb
        if not 0 < limit < len(kept) * each or time.monotonic() < self._look_again_at:
            return
        if (image := await self.image.find()) is None:
            return
        self._look_again_at = time.monotonic() + _LOOK_SECONDS
        uses = await self.objects.uses(list(kept), image)
        over = sum(use.megabytes for use in uses) - limit
        for use in sorted(uses, key=lambda use: use.since):
            if over <= 0:
                break
            await self._let_go(kept[use.name])
            if await self.objects.drop_cache(use.name):
                over -= use.megabytes

    async def _drop(self, volume: str) -> int:
        size = 0
        if (image := await self.image.find()) is not None:
            (use,) = await self.objects.uses([volume], image)
            size = use.megabytes
        return size * 2**20 if await self.objects.drop_cache(volume) else 0

    async def _wanted(self, context: BuildContext, limits: Limits) -> Wanted:
        """Return how the container of a build is made."""
        service = context.service_id
        return Wanted(
            service_id=service,
            image=await self.image.obtain(context.log),
            volume=await self.objects.volume(service) if self.settings.cache_mb else "",
            limits=limits,
            setup=self._setup(),
            environment=self._environment(),
        )

    async def _through(
        self, context: BuildContext, recipe: Recipe, container: Container, steps: Steps, kind: str
    ) -> bool:
        """Build in a container, write the image to the archive, and say whether the cache fits.

        Raises:
            BuildFailed: with the limit that was reached, or what failed by itself.
        """
        limits = container.limits
        tell(context, recipe, limits, kind)
        watch = Watch(container, limits, self.settings.section)
        async with watch.watching(steps):
            for base in await bases(self.settings, recipe):
                await container.grow()
                await self._load(context, container, base)
            code = await self._run(context, recipe, container, steps)
            if code not in (0, _TOO_LARGE):
                raise await watch.failure(steps, died=False)
            return not code or await self._keep(context, container)

    async def _too_large(self, context: BuildContext) -> None:
        """Drop a cache that cannot be kept small enough."""
        context.log.line(f"the cache is over {self.settings.cache_mb} MB and is dropped")
        await self.forget(context.service_id)

    async def _run(
        self, context: BuildContext, recipe: Recipe, container: Container, steps: Steps
    ) -> int:
        """Run build.sh and return its exit code."""
        secrets = secrets_of(context) if container.takes_secrets else {}
        argv = [*script(self.package, "build.sh"), str(self.settings.cache_mb)]
        argv += [*self._options(recipe, container), *options_of(recipe), *secret_options(secrets)]
        argv += ["--", f"/{FOLDER}"]
        given = files_of(recipe, secrets, container)
        return await receive(container, argv, archive_of(context), steps, given=given)
