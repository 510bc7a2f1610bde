"""What builders of Dockerfiles in containers have in common, whatever builds inside."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from importlib import resources
from pathlib import Path

from helvetia import (
    OCI_IMAGE,
    Artifact,
    BuildContext,
    BuildFailed,
    HelvetiaError,
    ResourceLimits,
)
from helvetia.plugins.registry.common.images import read_image

from .container import Container, Limits
from .context import packed, packed_file, refuse_large
from .images import BaseImage, base_images
from .recipe import Recipe, read_recipe
from .settings import BuildSettings
from .steps import Steps

RECIPE = "recipe/Dockerfile"
PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy")
UNREADABLE = 4  # exit code of the scripts
_ARCHIVE = "image.tar"
_BASE = "base.tar"
_SECRETS = "run/build-secrets"
_SECRET = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_WRITE_BYTES = 2**20

Work = Callable[[BuildContext, Recipe, Limits, Steps], Awaitable[str]]


async def build(context: BuildContext, settings: BuildSettings, work: Work) -> Artifact:
    """Read what is to be built, have it built in time, and look at what came out.

    Args:
        work: writes the image to `archive_of(context)` and says by what it was built.
    """
    recipe = await asyncio.to_thread(read_recipe, context.checkout, context.settings)
    section = settings.section
    await asyncio.to_thread(refuse_large, recipe.context, recipe.ignored, settings.disk_mb, section)
    limits = _limits(settings, context.limits)
    steps = Steps(context.log)
    time = asyncio.timeout(limits.seconds)
    try:
        async with time:
            kind = await work(context, recipe, limits, steps)
    except TimeoutError as error:
        if not time.expired():
            raise
        raise BuildFailed(
            f"time limit {limits.seconds:g} s reached {steps.running()}",
            hint="Look in the log what it waits for, or let the operator raise `seconds` in "
            f"section [{section}].",
        ) from error
    except BuildFailed:
        raise
    except HelvetiaError as error:
        raise BuildFailed(f"{error.message}, {steps.running()}", hint=error.hint) from error
    image = archive_of(context)
    await asyncio.to_thread(read_image, image)
    size = (await asyncio.to_thread(image.stat)).st_size
    return Artifact(
        kind=OCI_IMAGE,
        location=str(image),
        processes=dict(recipe.processes),
        facts={"Dockerfile": recipe.title, "built by": kind, "MB": f"{size / 1e6:.1f}"},
    )


def _limits(own: BuildSettings, service: ResourceLimits) -> Limits:
    return Limits(
        memory_mb=max(own.memory_mb, service.memory_mb),
        cpu=max(own.cpu, service.cpu),
        pids=max(own.pids, service.pids),
        disk_mb=own.disk_mb,
        seconds=own.seconds,
    )


def archive_of(context: BuildContext) -> Path:
    """Return where the image is written."""
    return context.output / _ARCHIVE


def tell(context: BuildContext, recipe: Recipe, limits: Limits, kind: str) -> None:
    """Say in the log what is built, by what and with what."""
    context.log.line(
        f"{recipe.title}: {kind} has {limits.memory_mb} MB of memory, {limits.cpu:g} cores, "
        f"{limits.disk_mb} MB of disk and {limits.seconds:g} s"
    )
    if recipe.generated:
        for line in recipe.dockerfile.splitlines():
            context.log.line(f"  {line}")


async def files_of(
    recipe: Recipe, secrets: Mapping[str, bytes], container: Container
) -> AsyncIterator[bytes]:
    """Yield what a build begins with as an archive: files, recipe and secrets.

    It does not end before the container has the memory of a build.
    """
    growing = asyncio.create_task(container.grow())
    extra = {f"{_SECRETS}/{name}": value for name, value in secrets.items()}
    extra[RECIPE] = recipe.dockerfile.encode()
    if recipe.ignore is not None:
        extra[f"{RECIPE}.dockerignore"] = recipe.ignore.encode()
    try:
        async for batch in packed(recipe.context, extra, recipe.ignored):
            yield batch
        await growing
    finally:
        growing.cancel()


async def bases(settings: BuildSettings, recipe: Recipe) -> list[BaseImage]:
    """Return the base images of the operator that a build needs."""
    if not settings.base_images:
        return []
    return await asyncio.to_thread(base_images, Path(settings.base_images), recipe.bases)


async def bring_base(context: BuildContext, container: Container, base: BaseImage) -> str:
    """Send in a base image, and return where it is then."""
    context.log.line(f"loading the base image {base.name}")
    await container.put(packed_file(base.path, _BASE))
    return f"/{_BASE}"


def secrets_of(context: BuildContext) -> dict[str, bytes]:
    """Return the variables of the service that a build can read."""
    return {n: v.encode() for n, v in context.environment.items() if _SECRET.fullmatch(n)}


def secret_options(secrets: Mapping[str, bytes]) -> list[str]:
    """Return the options that let a build read secrets."""
    return [f"--secret=id={name},src=/{_SECRETS}/{name}" for name in secrets]


def options_of(recipe: Recipe) -> list[str]:
    """Return the options that every program which builds Dockerfiles has alike."""
    argv = ["--network=host", f"--file=/{RECIPE}"]
    if recipe.target:
        argv.append(f"--target={recipe.target}")
    argv += [f"--build-arg={name}" for name in proxies()]
    return argv + [f"--build-arg={name}={value}" for name, value in recipe.arguments.items()]


def proxies() -> dict[str, str]:
    """Return the proxies of the platform, which are those of builds."""
    return {name: os.environ[name] for name in PROXIES if os.environ.get(name)}


async def receive(
    container: Container,
    argv: Sequence[str],
    image: Path,
    steps: Steps,
    *,
    given: AsyncIterator[bytes],
) -> int:
    """Run a build, write its standard output to the archive, and return its exit code."""
    waiting = bytearray()
    with image.open("wb") as file:

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
            code = await container.run(argv, take, given=given)
        finally:
            steps.end()
        await asyncio.to_thread(file.write, waiting)
    if code == UNREADABLE:
        raise BuildFailed(f"the image cannot be read: {steps.reason()}", hint="Deploy again.")
    return code


def text_of(package: str, name: str) -> str:
    """Return a script of a plugin's folder `image`."""
    return resources.files(package).joinpath(f"image/{name}").read_text()


def script(package: str, name: str) -> list[str]:
    """Return the words that run a script of a plugin inside."""
    return ["/bin/sh", "-c", text_of(package, name), name]


async def checked(container: Container, argv: list[str], section: str) -> None:
    """Run a program that is about a base image.

    Raises:
        BuildFailed: it failed.
    """
    said = bytearray()

    async def read(stream: int, data: bytes) -> None:
        said.extend(data)

    if await container.run(argv, read):
        words = said.decode("utf-8", "replace").strip()[-500:]
        raise BuildFailed(
            f"a base image cannot be used: {words}",
            hint=f"Look at `base_images`, `disk_mb` and `memory_mb` in section [{section}].",
        )
