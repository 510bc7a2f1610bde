"""The image under that of every site: a Python with what the server needs."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path

from aiodocker import Docker, DockerError

from helvetia import BuildFailed, HelvetiaError, Kernel, LogSink
from helvetia.plugins.registry.common.images import Image, read_image
from helvetia.plugins.runtimes.docker.engine import Engine
from helvetia.plugins.runtimes.docker.settings import DockerSettings

from . import interpreter
from .archive import ImageWriter, architecture

_CHUNK = 1024 * 1024


class Base:
    """Makes or fetches it once, and keeps it as an archive.

    Args:
        named: an image of the operator's, or an archive of one; empty: one is made of the Python
            that runs the platform.
    """

    def __init__(self, kernel: Kernel, named: str) -> None:
        self._kernel = kernel
        self._named = named
        self._making = asyncio.Lock()

    @property
    def python(self) -> str:
        """The program in the image that runs the server."""
        return "python3" if self._named else interpreter.PROGRAM

    async def obtain(self, log: LogSink) -> Image:
        """Return the image.

        Raises:
            BuildFailed: there is none.
        """
        folder = self._kernel.folder("static")
        async with self._making:
            if not self._named:
                await self._refuse_other_machines()
                archive = await asyncio.to_thread(_own, folder, log)
            elif self._named.startswith("/"):
                archive = Path(self._named)
            else:
                archive = await self._fetch(folder, log)
            return await asyncio.to_thread(read_image, archive)

    async def _refuse_other_machines(self) -> None:
        """Refuse to put this machine's Python into an image for an engine of another kind."""
        try:
            async with Engine(self._kernel.section(DockerSettings).host).session() as docker:
                theirs = (await docker.version())["Arch"]
        except (HelvetiaError, KeyError):
            return  # the registry may be for engines that are not reached from here
        if theirs != architecture():
            raise BuildFailed(
                f"the engine runs {theirs}, and the platform's Python is for {architecture()}",
                hint=f"Name an image for {theirs} with python3 and aiohttp as `base` in section "
                "[static].",
            )

    async def _fetch(self, folder: Path, log: LogSink) -> Path:
        """Take the image out of the engine, which pulls it if it has to."""
        try:
            engine = Engine(self._kernel.section(DockerSettings).host)
            async with engine.session(None) as docker:
                try:
                    found = await docker.images.inspect(self._named)
                except DockerError:
                    log.line(f"pulling the base image {self._named}")
                    await docker.images.pull(self._named)
                    found = await docker.images.inspect(self._named)
                name = f"base-{found['Id'].removeprefix('sha256:')}.tar"
                if not (folder / name).exists():
                    await _export(docker, found["Id"], folder / name)
                return folder / name
        except (HelvetiaError, KeyError) as error:
            raise BuildFailed(
                f"the base image {self._named} of sites cannot be had: {error}",
                hint="Let `base` in section [static] name one that the engine has or can pull, "
                "or nothing.",
            ) from error


async def _export(docker: Docker, identity: str, archive: Path) -> None:
    making = archive.with_suffix(".making")
    with making.open("wb") as file:
        async with docker.images.export_image(identity) as stream:
            async for chunk in stream.iter_chunked(_CHUNK):
                await asyncio.to_thread(file.write, chunk)
    for old in archive.parent.glob("base-*.tar"):
        old.unlink()
    making.replace(archive)


def _own(folder: Path, log: LogSink) -> Path:
    """Make the archive of the platform's own Python, unless it is there as it would be made."""
    archive, note = folder / "python.tar", folder / "python.json"
    if archive.exists() and note.exists():
        made_of = json.loads(note.read_text())
        if made_of == _states(made_of):
            return archive
    log.line(f"the image for sites is made of the platform's Python {_version()}: once")
    files = interpreter.find()
    making = folder / f"python.{os.getpid()}"
    with making.open("wb") as file:
        writer = ImageWriter(file)
        writer.add({path: source.content for path, source in files.items()}, folders=["tmp"])
        writer.finish({"Env": ["LD_LIBRARY_PATH=/lib"], "Entrypoint": [interpreter.PROGRAM]})
    making.replace(archive)
    states = _states([str(source.origin) for source in files.values()])
    making.write_text(json.dumps(states))
    making.replace(note)
    return archive


def _states(paths: list[str]) -> dict[str, list[int]]:
    """Tell by size and time in which state files are; a missing one has none."""
    states = {}
    for path in paths:
        try:
            state = os.stat(path)
        except OSError:
            continue
        states[path] = [state.st_size, state.st_mtime_ns]
    return states


def _version() -> str:
    return ".".join(map(str, sys.version_info[:3]))
