"""How the builder `docker` works."""

from __future__ import annotations

import time
from collections.abc import Collection

from helvetia import Artifact, BuildContext, Check, Kernel
from helvetia.plugins.runtimes.docker.engine import Engine
from helvetia.plugins.runtimes.docker.settings import DockerSettings

from .container import Container, Limits, Setup, Wanted
from .context import FOLDER
from .images import BuilderImage
from .objects import Objects
from .recipe import Recipe
from .settings import DockerBuilderSettings
from .steps import Steps
from .warm import Builders
from .watch import Watch
from .work import (
    archive_of,
    bases,
    bring,
    bring_base,
    build,
    checked,
    options_of,
    packed_secrets,
    proxies,
    receive,
    script,
    secret_options,
    secrets_of,
    tell,
    text_of,
)

_IMAGE = "helvetia/build:latest"
_NO_CLIPPING = str(2**30)
_TOO_LARGE = 3  # exit code of the scripts
_HERE = __package__ or ""
_UNUSED_SECONDS = 600


class Building:
    """Builds each image in a container with an engine of its own; see `DockerBuilder`."""

    def __init__(self, kernel: Kernel) -> None:
        self._settings = kernel.section(DockerBuilderSettings)
        self._engine = Engine(kernel.section(DockerSettings).host)
        self.objects = Objects(self._engine, kernel.installation)
        self._builders = Builders(self._engine, self.objects, self._settings)
        self._image = BuilderImage(
            self._engine,
            self._settings,
            self.objects.labels(service=""),
            package=_HERE,
            example="docker:dind",
        )

    async def check(self) -> Check:
        """Say whether the engine answers."""
        return await self._engine.check()

    async def close(self) -> None:
        """End the engines that wait for another build."""
        await self._builders.close()

    async def build(self, context: BuildContext) -> Artifact:
        """Build the image in a container of its own and hand it on as an archive."""
        return await build(context, self._settings, self._build)

    async def forget(self, service_id: str) -> int:
        """Remove the layers of former builds of a service, and the engine that waits."""
        await self._builders.end(service_id)
        await self.objects.collect(service_id)
        return sum([await self._drop(name) for name, _, _ in await self.objects.caches(service_id)])

    async def collect(self, used: Collection[str]) -> None:
        """Remove what builds left that were killed, and the caches of services that are gone."""
        await self.objects.collect()
        for name, service, made in await self.objects.caches():
            if service not in used and made < time.time() - _UNUSED_SECONDS:
                await self._builders.end(service)
                await self.objects.drop_cache(name)

    async def _drop(self, volume: str) -> int:
        size = 0
        if (image := await self._image.find()) is not None:
            size = await self.objects.megabytes(volume, image)
        return size * 2**20 if await self.objects.drop_cache(volume) else 0

    async def _build(
        self, context: BuildContext, recipe: Recipe, limits: Limits, steps: Steps
    ) -> str:
        service = context.service_id
        cached = self._settings.cache_mb > 0
        wanted = Wanted(
            service_id=service,
            image=await self._image.obtain(context.log),
            volume=await self.objects.volume(service) if cached else "",
            limits=limits,
            setup=_setup(self._settings),
            environment=_environment(),
        )
        async with self._builders.lend(wanted) as container:
            kind = "BuildKit" if container.buildkit else "the classic builder"
            recipe = recipe if container.buildkit else recipe.classic()
            tell(context, recipe, limits, kind)
            watch = Watch(container, limits, self._settings.section)
            async with watch.watching(steps):
                await bring(recipe, container)
                await self._load(context, recipe, container)
                code = await self._run(context, recipe, container, steps)
                if code not in (0, _TOO_LARGE):
                    raise await watch.failure(steps, died=False)
                fits = not code or await self._keep(context, container)
        if not fits:
            context.log.line(f"the cache is over {self._settings.cache_mb} MB and is dropped")
            await self.forget(service)
        return kind

    async def _load(self, context: BuildContext, recipe: Recipe, container: Container) -> None:
        """Bring what of the operator's base images is missing."""
        section = self._settings.section
        for base in await bases(self._settings, recipe):
            if (known := f"{base.id} {base.name}") in container.loaded:
                continue
            if await container.run(["docker", "image", "inspect", base.id], _ignore):
                archive = await bring_base(context, container, base)
                await checked(container, ["docker", "load", "--input", archive], section)
            await checked(container, ["docker", "tag", base.id, base.name], section)
            container.loaded.add(known)

    async def _run(
        self, context: BuildContext, recipe: Recipe, container: Container, steps: Steps
    ) -> int:
        """Build the image, write it to the archive, and return the exit code of build.sh."""
        secrets = secrets_of(context) if container.buildkit else {}
        given = packed_secrets(secrets)
        argv = [*script(_HERE, "build.sh"), str(len(given)), str(self._settings.cache_mb), _IMAGE]
        argv += options_of(recipe)
        if container.buildkit:
            argv.append("--progress=plain")
            argv += secret_options(secrets)
        else:
            argv.append("--force-rm")
        argv += ["--", f"/{FOLDER}"]
        return await receive(container, argv, archive_of(context), steps, given=given)

    async def _keep(self, context: BuildContext, container: Container) -> bool:
        """Keep no more layers than are wanted; say whether that was possible."""
        limit = self._settings.cache_mb
        context.log.line(f"the layers kept are over {limit} MB: the oldest ones are dropped")
        argv = [*script(_HERE, "keep.sh"), str(limit), _IMAGE]
        return await container.run(argv, _ignore) != _TOO_LARGE


def _setup(settings: DockerBuilderSettings) -> Setup:
    return Setup(
        script=text_of(_HERE, "builder.sh"),
        arguments=(str(settings.disk_mb), settings.registry_mirror),
        host={"Privileged": True},
        hint="It is started in a privileged container of `image` in section "
        f"[{settings.section}], needs the loop devices of the kernel (`modprobe loop`) and more "
        "memory than 128 MB.",
    )


def _environment() -> dict[str, str]:
    """Return what the engine of a build is told: the proxies of the platform, and no clipping."""
    return {
        **proxies(),
        "BUILDKIT_STEP_LOG_MAX_SIZE": _NO_CLIPPING,
        "BUILDKIT_STEP_LOG_MAX_SPEED": _NO_CLIPPING,
        # They would make an index with two images out of one.
        "BUILDX_NO_DEFAULT_ATTESTATIONS": "1",
    }


async def _ignore(stream: int, data: bytes) -> None:
    """What a program says does not matter."""
