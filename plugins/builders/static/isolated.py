"""Build a site in a container, by a Dockerfile that is written for it."""

from __future__ import annotations

import asyncio
import dataclasses
import hashlib
import json
import re
import shlex
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from aiodocker import DockerError

from helvetia import BuildContext, BuildFailed, HelvetiaError, InvalidInput, Kernel
from helvetia.plugins.archives import unpack_layer
from helvetia.plugins.builders.common.files import is_file
from helvetia.plugins.builders.common.node_project import Manager, NodeProject
from helvetia.plugins.builders.docker.builder import DockerBuilder
from helvetia.plugins.builders.docker.images import base_images
from helvetia.plugins.builders.docker.settings import DockerBuilderSettings
from helvetia.plugins.registry.common.images import read_image
from helvetia.plugins.runtimes.docker.engine import Engine
from helvetia.plugins.runtimes.docker.settings import DockerSettings

_PLACE = ".helvetia"
_REACH_SECONDS = 10
_CONFIGURATION = (".npmrc", "pnpm-workspace.yaml")
_FOLDER = re.compile(r"[\w@+ ./-]+")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Steps:
    """The commands of a build.

    Attributes:
        manager: of a Node project, with the command that installs its packages; None for others.
    """

    build: Sequence[str]
    manager: Manager | None = None
    install: Sequence[str] = ()


class IsolatedBuild:
    """Has sites built where Dockerfiles are: with limits, and out of reach of the machine."""

    def __init__(self, kernel: Kernel) -> None:
        self._docker = DockerBuilder(kernel)
        self._engine = Engine(kernel.section(DockerSettings).host)
        self._settings = kernel.section(DockerBuilderSettings)

    async def close(self) -> None:
        """End the engines that wait for another build."""
        await self._docker.close()

    async def usable(self) -> bool:
        """Tell whether there is an engine."""
        return (await self._docker.check()).ok

    async def has(self, image: str) -> bool:
        """Tell whether a build can begin from an image: from the folder of bases or a registry."""
        folder = self._settings.base_images
        found = await asyncio.to_thread(base_images, Path(folder), [image]) if folder else []
        if found or self._settings.registry_mirror:
            return True
        try:
            async with (
                self._engine.session(_REACH_SECONDS) as docker,
                self._engine.get(docker, f"distribution/{image}/json"),
            ):
                return True
        except (DockerError, HelvetiaError):
            return False

    async def build(self, context: BuildContext, steps: Steps, image: str, output: str) -> Path:
        """Build the site and return a folder with what was in its folder `output`.

        Raises:
            BuildFailed: a step failed, or there is no site afterwards.
        """
        if not _FOLDER.fullmatch(output) or ".." in Path(output).parts:
            raise BuildFailed(
                f"output: {output!r} is not a folder inside the repository",
                hint="name it relative to the repository, as `dist`",
            )
        place = context.checkout / _PLACE
        text = dockerfile(
            context.checkout,
            steps,
            image=image,
            output=output,
            variables=context.environment,
            service_id=context.service_id,
        )
        for line in text.splitlines():
            context.log.line(f"  {line}")
        await asyncio.to_thread(_lay, place, text)
        await self._docker.build(
            dataclasses.replace(
                context, settings={"dockerfile": f"{_PLACE}/Dockerfile"}, output=place / "image"
            )
        )
        return await asyncio.to_thread(_unpack, place / "image/image.tar", place / "site")


def dockerfile(
    checkout: Path,
    steps: Steps,
    *,
    image: str,
    output: str,
    variables: Mapping[str, str] = MappingProxyType({}),
    service_id: str = "",
) -> str:
    """Write the Dockerfile: packages in a layer of their own, and the site alone in the image.

    Args:
        variables: those that the commands see, as secrets of the build.
        service_id: whose they are.
    """
    names = sorted(name for name in variables if name.isidentifier())
    mounts = "".join(f"--mount=type=secret,id={name} " for name in names)
    exports = "".join(f'export {name}="$(cat /run/secrets/{name})"; ' for name in names)
    lines = [
        f"FROM {image} AS build",
        "WORKDIR /site",
        "ENV CI=true NO_COLOR=1 COREPACK_ENABLE_DOWNLOAD_PROMPT=0 NPM_CONFIG_FUND=false "
        "NPM_CONFIG_AUDIT=false NPM_CONFIG_UPDATE_NOTIFIER=false "
        "PATH=/site/node_modules/.bin:$PATH",
    ]
    if names:
        # The values are no part of the layers, so a layer has to be told when they change.
        lines.append(f"ENV SITE_VARIABLES={_digest(service_id, variables)}")

    def run(argv: Sequence[str]) -> None:
        script = exports + shlex.join(argv)
        # These two mean something to Dockerfiles themselves.
        odd = "\n" in script or "<<" in script
        lines.append(f"RUN {mounts}{json.dumps(['/bin/sh', '-c', script]) if odd else script}")

    if steps.manager is not None:
        files = _alone(checkout, steps.manager)
        lines.append(f"COPY {json.dumps([*files, './'] if files else ['.', '.'])}")
        if steps.manager.name != "npm":
            lines.append("RUN corepack enable")
        run(steps.install)
        if files:
            lines.append("COPY . .")
    else:
        lines.append("COPY . .")
    run(steps.build)
    missing = shlex.quote(f"There is no folder {output} after the build; there are:")
    lines.append(f"RUN test -d {shlex.quote(output)} || {{ echo {missing} $(ls -d */); exit 1; }}")
    source = f"/site/{output}/".replace("/./", "/")
    return "\n".join([*lines, "FROM scratch", f"COPY --from=build {json.dumps([source, '/'])}", ""])


def _alone(checkout: Path, manager: Manager) -> list[str]:
    """Return the files that an install hangs on; none if it may hang on any."""
    project = NodeProject.read(checkout)
    if not manager.lock or project is None or project.why_not_cached():
        return []
    if is_file(checkout, ".yarnrc.yml"):
        return []
    return [
        "package.json", manager.lock,
        *(name for name in _CONFIGURATION if is_file(checkout, name)),
    ]  # fmt: skip


def _digest(service_id: str, variables: Mapping[str, str]) -> str:
    values = json.dumps([service_id, sorted(variables.items())])
    return hashlib.sha256(values.encode()).hexdigest()[:16]


def _lay(place: Path, text: str) -> None:
    (place / "image").mkdir(parents=True)
    (place / "Dockerfile").write_text(text)
    (place / "Dockerfile.dockerignore").write_text(f"{_PLACE}\n**/node_modules\n")


def _unpack(archive: Path, target: Path) -> Path:
    """Take the files out of an image that holds nothing but the site."""
    target.mkdir()
    try:
        for layer in read_image(archive).layers:
            with archive.open("rb") as file:
                file.seek(layer.offset)
                with tarfile.open(fileobj=file, mode="r|gz" if layer.compressed else "r|") as tar:
                    unpack_layer(tar, target)
    except (InvalidInput, tarfile.TarError, OSError) as error:
        raise BuildFailed(
            f"the finished site cannot be taken out of the image: {error}",
            hint="a link in it may lead out of it, or a file is neither a file nor a folder",
        ) from error
    archive.unlink()
    return target
