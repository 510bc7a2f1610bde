"""How the builder `docker` works."""

from __future__ import annotations

import asyncio
import os
import re
import time
from collections.abc import Collection
from importlib import resources
from pathlib import Path

from helvetia import (
    OCI_IMAGE,
    Artifact,
    BuildContext,
    BuildFailed,
    Check,
    HelvetiaError,
    Kernel,
    ResourceLimits,
)
from helvetia.plugins.registry.common.images import read_image
from helvetia.plugins.runtimes.docker.engine import Engine
from helvetia.plugins.runtimes.docker.settings import DockerSettings

from .container import Container, Limits, Wanted
from .context import FOLDER, archive, packed, packed_file, refuse_large
from .images import BuilderImage, base_images
from .objects import Objects
from .recipe import Recipe, read_recipe
from .settings import DockerBuilderSettings
from .steps import Steps
from .warm import Builders
from .watch import Watch

_ARCHIVE = "image.tar"
_IMAGE = "helvetia/build:latest"
_RECIPE = "recipe/Dockerfile"
_BASE = "base.tar"
_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy")
_SECRET = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_WRITE_BYTES = 2**20
_NO_CLIPPING = str(2**30)
_SECRETS = "/run/build-secrets"
_TOO_LARGE, _UNREADABLE = 3, 4  # exit codes of the scripts
_UNUSED_SECONDS = 600


class Building:
    """Builds each image in a container with an engine of its own; see `DockerBuilder`."""

    def __init__(self, kernel: Kernel) -> None:
        self._settings = kernel.section(DockerBuilderSettings)
        self._engine = Engine(kernel.section(DockerSettings).host)
        self.objects = Objects(self._engine, kernel.installation)
        self._builders = Builders(self._engine, self.objects, self._settings)
        self._image = BuilderImage(
            self._engine, self._settings.image, self.objects.labels(service="")
        )

    async def check(self) -> Check:
        """Say whether the engine answers."""
        return await self._engine.check()

    async def close(self) -> None:
        """End the engines that wait for another build."""
        await self._builders.close()

    async def build(self, context: BuildContext) -> Artifact:
        """Build the image in a container of its own and hand it on as an archive."""
        recipe = await asyncio.to_thread(read_recipe, context.checkout, context.settings)
        own = self._settings
        await asyncio.to_thread(refuse_large, recipe.context, recipe.ignored, own.disk_mb)
        limits = self._limits(context.limits)
        steps = Steps(context.log)
        time = asyncio.timeout(limits.seconds)
        try:
            async with time:
                kind = await self._build(context, recipe, limits, steps)
        except TimeoutError as error:
            if not time.expired():
                raise
            raise BuildFailed(
                f"time limit {limits.seconds:g} s reached {steps.running()}",
                hint="Look in the log what it waits for, or let the operator raise `seconds` in "
                "section [docker_builder].",
            ) from error
        except BuildFailed:
            raise
        except HelvetiaError as error:
            raise BuildFailed(f"{error.message}, {steps.running()}", hint=error.hint) from error
        archive = context.output / _ARCHIVE
        await asyncio.to_thread(read_image, archive)
        size = (await asyncio.to_thread(archive.stat)).st_size
        return Artifact(
            kind=OCI_IMAGE,
            location=str(archive),
            processes=dict(recipe.processes),
            facts={"Dockerfile": recipe.title, "built by": kind, "MB": f"{size / 1e6:.1f}"},
        )

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

    def _limits(self, service: ResourceLimits) -> Limits:
        own = self._settings
        return Limits(
            memory_mb=max(own.memory_mb, service.memory_mb),
            cpu=max(own.cpu, service.cpu),
            pids=max(own.pids, service.pids),
            disk_mb=own.disk_mb,
            seconds=own.seconds,
        )

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
            registry_mirror=self._settings.registry_mirror,
            environment=_environment(),
        )
        async with self._builders.lend(wanted) as container:
            kind = "BuildKit" if container.buildkit else "the classic builder"
            recipe = recipe if container.buildkit else recipe.classic()
            self._tell(context, recipe, limits, kind)
            watch = Watch(container, limits)
            async with watch.watching():
                try:
                    await self._bring(context, recipe, container)
                    code = await self._run(context, recipe, container, steps)
                    if code not in (0, _TOO_LARGE):
                        raise await watch.failure(steps, died=False)
                    fits = not code or await self._keep(context, container)
                except BuildFailed:
                    raise
                except HelvetiaError as error:
                    if await container.is_running():
                        raise
                    raise await watch.failure(steps, died=True) from error
        if not fits:
            context.log.line(f"the cache is over {self._settings.cache_mb} MB and is dropped")
            await self.forget(service)
        return kind

    def _tell(self, context: BuildContext, recipe: Recipe, limits: Limits, kind: str) -> None:
        context.log.line(
            f"{recipe.title}: {kind} has {limits.memory_mb} MB of memory, {limits.cpu:g} cores, "
            f"{limits.disk_mb} MB of disk and {limits.seconds:g} s"
        )
        if recipe.generated:
            for line in recipe.dockerfile.splitlines():
                context.log.line(f"  {line}")

    async def _bring(self, context: BuildContext, recipe: Recipe, container: Container) -> None:
        """Send in the files, and what of the operator's base images is missing."""
        extra = {_RECIPE: recipe.dockerfile.encode()}
        if recipe.ignore is not None:
            extra[f"{_RECIPE}.dockerignore"] = recipe.ignore.encode()
        await container.put(packed(recipe.context, extra, recipe.ignored))
        if not self._settings.base_images:
            return
        folder = Path(self._settings.base_images)
        for base in await asyncio.to_thread(base_images, folder, recipe.bases):
            if (known := f"{base.id} {base.name}") in container.loaded:
                continue
            if await container.run(["docker", "image", "inspect", base.id], _ignore):
                context.log.line(f"loading the base image {base.name}")
                await container.put(packed_file(base.path, _BASE))
                await _checked(container, ["docker", "load", "--input", f"/{_BASE}"])
            await _checked(container, ["docker", "tag", base.id, base.name])
            container.loaded.add(known)

    async def _run(
        self, context: BuildContext, recipe: Recipe, container: Container, steps: Steps
    ) -> int:
        """Build the image, write it to the archive, and return the exit code of build.sh."""
        named = {n: v for n, v in context.environment.items() if _SECRET.fullmatch(n)}
        secrets = {n: v.encode() for n, v in named.items()} if container.buildkit else {}
        given = archive(secrets) if secrets else b""
        argv = [*_script("build.sh"), str(len(given)), str(self._settings.cache_mb), _IMAGE]
        argv += ["--network=host", f"--file=/{_RECIPE}"]
        if recipe.target:
            argv.append(f"--target={recipe.target}")
        argv += [f"--build-arg={name}" for name in _environment() if name in _PROXIES]
        argv += [f"--build-arg={name}={value}" for name, value in recipe.arguments.items()]
        if container.buildkit:
            argv.append("--progress=plain")
            argv += [f"--secret=id={name},src={_SECRETS}/{name}" for name in secrets]
        else:
            argv.append("--force-rm")
        waiting = bytearray()
        with (context.output / _ARCHIVE).open("wb") as file:

            async def take(stream: int, data: bytes) -> None:
                nonlocal waiting
                if stream != 1:
                    steps.feed(stream, data)
                    return
                waiting += data
                if len(waiting) >= _WRITE_BYTES:
                    full, waiting = waiting, bytearray()
                    await asyncio.to_thread(file.write, full)

            try:
                code = await container.run([*argv, "--", f"/{FOLDER}"], take, given=given)
            finally:
                steps.end()
            await asyncio.to_thread(file.write, waiting)
        if code == _UNREADABLE:
            raise BuildFailed(f"the image cannot be read: {steps.reason()}", hint="Deploy again.")
        return code

    async def _keep(self, context: BuildContext, container: Container) -> bool:
        """Keep no more layers than are wanted; say whether that was possible."""
        limit = self._settings.cache_mb
        context.log.line(f"the layers kept are over {limit} MB: the oldest ones are dropped")
        argv = [*_script("keep.sh"), str(limit), _IMAGE]
        return await container.run(argv, _ignore) != _TOO_LARGE


def _script(name: str) -> list[str]:
    return [
        "/bin/sh",
        "-c",
        resources.files(__package__).joinpath(f"image/{name}").read_text(),
        name,
    ]


def _environment() -> dict[str, str]:
    """Return what the engine of a build is told: the proxies of the platform, and no clipping."""
    proxies = {name: os.environ[name] for name in _PROXIES if os.environ.get(name)}
    return {
        **proxies,
        "BUILDKIT_STEP_LOG_MAX_SIZE": _NO_CLIPPING,
        "BUILDKIT_STEP_LOG_MAX_SPEED": _NO_CLIPPING,
        # They would make an index with two images out of one.
        "BUILDX_NO_DEFAULT_ATTESTATIONS": "1",
    }


async def _checked(container: Container, argv: list[str]) -> None:
    said = bytearray()

    async def read(stream: int, data: bytes) -> None:
        said.extend(data)

    if await container.run(argv, read):
        words = said.decode("utf-8", "replace").strip()[-500:]
        raise BuildFailed(
            f"a base image cannot be used: {words}",
            hint="Look at `base_images`, `disk_mb` and `memory_mb` in section [docker_builder].",
        )


async def _ignore(stream: int, data: bytes) -> None:
    """What a program says does not matter."""
