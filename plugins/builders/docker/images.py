"""The image in which builds run, and images of the operator's that builds begin from."""

from __future__ import annotations

import asyncio
import hashlib
import io
import json
import tarfile
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from aiodocker import Docker, DockerError

from helvetia import BuildFailed, LogSink
from helvetia.plugins.runtimes.docker.engine import Engine, inspect_image

from .objects import RECIPE, Objects
from .settings import BuildSettings

_REPOSITORY = "helvetia/builder"
_TABLE_BYTES = 1024 * 1024
_HUB = ("docker.io/library/", "index.docker.io/library/", "docker.io/", "index.docker.io/")


class BuilderImage:
    """The image to build in: the operator's, or one that is made once of a plugin's recipe.

    Args:
        package: where the recipe is, as `image/Dockerfile`.
        example: an image that would do.
    """

    def __init__(
        self,
        engine: Engine,
        settings: BuildSettings,
        labels: Mapping[str, str],
        *,
        package: str,
        example: str,
    ) -> None:
        self._engine = engine
        self._named = settings.image
        self._labels = {**labels, RECIPE: package}
        self._package = package
        self._hint = (
            "Name one that the engine has or can pull as `image` in section "
            f"[{settings.section}], for instance {example}."
        )
        self._making = asyncio.Lock()

    async def find(self) -> str | None:
        """Return its id if the engine has it."""
        async with self._engine.session() as docker:
            found = await inspect_image(docker, self._recipe()[1])
        return str(found["Id"]) if found else None

    async def collect(self, objects: Objects) -> None:
        """Remove those that were made of recipes before the present one."""
        await objects.former_images(_REPOSITORY, self._recipe()[1], self._package)

    def _recipe(self) -> tuple[bytes, str]:
        recipe = resources.files(self._package).joinpath("image/Dockerfile").read_bytes()
        made = f"{_REPOSITORY}:{hashlib.sha256(recipe).hexdigest()[:12]}"
        return recipe, self._named or made

    async def obtain(self, log: LogSink) -> str:
        """Return its id.

        Raises:
            BuildFailed: it can neither be pulled nor made.
        """
        recipe, name = self._recipe()
        async with self._making, self._engine.session(None) as docker:
            found = await inspect_image(docker, name)
            if found is None:
                try:
                    if self._named:
                        log.line(f"pulling the image to build in, {name}")
                        await docker.images.pull(name)
                    else:
                        log.line(f"making the image to build in, {name}: once, in a minute or two")
                        await self._make(docker, name, recipe, log)
                except DockerError as error:
                    raise BuildFailed(
                        f"there is no image to build in: {error.message}",
                        hint=self._hint,
                    ) from error
                found = await inspect_image(docker, name)
        if found is None:
            raise BuildFailed(f"the image {name} was removed at once", hint="Deploy again.")
        return str(found["Id"])

    async def _make(self, docker: Docker, name: str, recipe: bytes, log: LogSink) -> None:
        """Build our own recipe on the engine itself: nothing of a tenant's is in it."""
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w:gz") as tar:
            member = tarfile.TarInfo("Dockerfile")
            member.size = len(recipe)
            tar.addfile(member, io.BytesIO(recipe))
        packed.seek(0)
        said = docker.images.build(
            fileobj=packed, encoding="gzip", tag=name, labels=dict(self._labels), stream=True
        )
        async for message in said:
            if text := message.get("stream"):
                log.write(f"  {text}".encode())


@dataclass(frozen=True, slots=True)
class BaseImage:
    """An image archive of the operator's. `id` is the digest of the image it holds."""

    path: Path
    id: str
    name: str


def base_images(folder: Path, names: Collection[str]) -> list[BaseImage]:
    """Return the archives in a folder that hold images of these names. Blocks."""
    wanted = {_full(name): name for name in names}
    found: dict[str, BaseImage] = {}
    for path in sorted(folder.glob("*.tar")):
        try:
            with tarfile.open(path) as tar:
                table = tar.extractfile("manifest.json")
                images = json.loads(table.read(_TABLE_BYTES)) if table else []
            for image in images:
                identity = Path(image["Config"]).name.removesuffix(".json")
                for tag in image["RepoTags"] or []:
                    if name := wanted.get(_full(tag)):
                        found[name] = BaseImage(path, f"sha256:{identity}", name)
        except (OSError, tarfile.TarError, KeyError, ValueError, TypeError) as error:
            raise BuildFailed(
                f"the base image {path.name} cannot be read: {error}",
                hint="The setting `base_images` is a folder of archives as "
                "`docker save --output NAME.tar IMAGE:TAG` writes them.",
            ) from error
    return list(found.values())


def _full(name: str) -> str:
    """Return a name as Docker understands it, with its tag."""
    for prefix in _HUB:
        name = name.removeprefix(prefix)
    return name if ":" in name.rpartition("/")[2] or "@" in name else f"{name}:latest"
