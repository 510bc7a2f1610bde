"""How the builder `docker` works."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from helvetia import BuildContext, Kernel

from .container import Container, Limits, Setup
from .flow import Flow
from .images import BaseImage
from .recipe import Recipe
from .settings import DockerBuilderSettings
from .steps import Steps
from .warm import Builders
from .work import bring_base, checked, proxies, script, text_of

_IMAGE = "helvetia/build:latest"
_NO_CLIPPING = str(2**30)
_TOO_LARGE = 3  # exit code of the scripts


class Building(Flow):
    """Builds each image in a container with an engine of its own; see `DockerBuilder`."""

    package = __package__ or ""
    example = "docker:dind"
    cache = "cache"
    settings: DockerBuilderSettings

    def __init__(self, kernel: Kernel) -> None:
        super().__init__(kernel, kernel.section(DockerBuilderSettings))
        self._builders = Builders(self.engine, self.objects, self.settings)

    async def close(self) -> None:
        """End the engines that wait for another build."""
        await self._builders.close()

    async def _let_go(self, service_id: str) -> None:
        await self._builders.end(service_id)

    async def _build(
        self, context: BuildContext, recipe: Recipe, limits: Limits, steps: Steps
    ) -> str:
        async with self._builders.lend(await self._wanted(context, limits)) as container:
            buildkit = container.kind == "buildkit"
            kind = "BuildKit" if buildkit else "the classic builder"
            recipe = recipe if buildkit else recipe.classic()
            fits = await self._through(context, recipe, container, steps, kind)
        if not fits:
            await self._too_large(context)
        return kind

    async def _load(self, context: BuildContext, container: Container, base: BaseImage) -> None:
        """Bring what is missing."""
        section = self.settings.section
        if (known := f"{base.id} {base.name}") in container.loaded:
            return
        if await container.run(["docker", "image", "inspect", base.id], _ignore):
            archive = await bring_base(context, container, base)
            await checked(container, ["docker", "load", "--input", archive], section)
        await checked(container, ["docker", "tag", base.id, base.name], section)
        container.loaded.add(known)

    def _options(self, recipe: Recipe, container: Container) -> Sequence[str]:
        own = "--progress=plain" if container.kind == "buildkit" else "--force-rm"
        return [_IMAGE, own]

    async def _keep(self, context: BuildContext, container: Container) -> bool:
        """Drop the oldest layers."""
        limit = self.settings.cache_mb
        context.log.line(f"the layers kept are over {limit} MB: the oldest ones are dropped")
        argv = [*script(self.package, "keep.sh"), str(limit), _IMAGE]
        return await container.run(argv, _ignore) != _TOO_LARGE

    def _setup(self) -> Setup:
        return Setup(
            script=text_of(self.package, "builder.sh"),
            arguments=(str(self.settings.disk_mb), self.settings.registry_mirror),
            host={"Privileged": True},
            hint="It is started in a privileged container of `image` in section "
            f"[{self.settings.section}], needs the loop devices of the kernel (`modprobe loop`) "
            "and more memory than 128 MB.",
        )

    def _environment(self) -> Mapping[str, str]:
        """Return what its engine is told: the proxies of the platform, and no clipping."""
        return {
            **proxies(),
            "BUILDKIT_STEP_LOG_MAX_SIZE": _NO_CLIPPING,
            "BUILDKIT_STEP_LOG_MAX_SPEED": _NO_CLIPPING,
            # They would make an index with two images out of one.
            "BUILDX_NO_DEFAULT_ATTESTATIONS": "1",
        }


async def _ignore(stream: int, data: bytes) -> None:
    """What a program says does not matter."""
