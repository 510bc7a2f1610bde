"""Traefik as a container of the Docker engine, started again by the engine.

It is in the network of the host: from there it reaches the network of every service, as the
platform's own probes do. In the services' networks it would reach nothing, because in these no
container reaches another; and its API would be open to all of them.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

from aiodocker import Docker, DockerError

from helvetia import HelvetiaError
from helvetia.plugins.runtimes.docker.engine import (
    Engine,
    inspect_image,
    remove_container,
    seconds,
)
from helvetia.plugins.runtimes.docker.labels import INSTALLATION, KIND, object_name

from .managed import Ended, Managed, Program
from .wanted import Wanted

_KIND = "router"
_STOP_SECONDS = 8
_LOG_LINES = 50
_PULL_SECONDS = 300.0


class TraefikContainer(Managed):
    """The one Traefik of an installation, in an engine of this machine."""

    name = "container"

    def __init__(
        self, wanted: Wanted, former: Callable[[str], Managed | None], engine: Engine
    ) -> None:
        super().__init__(wanted, former)
        self._engine = engine
        self._name = object_name(wanted.installation, "traefik")

    async def programs(self) -> list[Program]:
        """Return the image, if the engine has it."""
        async with self._engine.session() as docker:
            found = await inspect_image(docker, self._wanted.settings.image)
        return [] if found is None else [self._program(found)]

    async def choose(self) -> Program:
        """Return the image."""
        image = self._wanted.settings.image
        if not (check := await self._engine.check()).ok:
            raise HelvetiaError(
                f"Traefik is to run as a container, but there is {check.reason}",
                hint="Start the engine, or set HELVETIA_TRAEFIK_RUN=process.",
            )
        if not self._engine.local:
            raise HelvetiaError(
                f"the Docker engine at {self._engine.host} may be another machine: "
                "there Traefik would not read this one's files",
                hint="Set HELVETIA_TRAEFIK_RUN=existing.",
            )
        async with self._engine.session(_PULL_SECONDS) as docker:
            if found := await inspect_image(docker, image):
                return self._program(found)
        return Program(what=image, title=f"the image {image}, not pulled yet", stamp="")

    def _program(self, found: dict[str, Any]) -> Program:
        image = self._wanted.settings.image
        return Program(what=found["Id"], title=f"the image {image}", stamp=found["Id"])

    async def pids(self) -> Collection[int]:
        """Return its process."""
        state = await self._state()
        return {state["Pid"]} if state and state["Pid"] else ()

    async def begin(self, program: Program) -> None:
        """Create and start the container; the image is pulled if there is none."""
        async with self._engine.session(_PULL_SECONDS) as docker:
            if not program.stamp:
                await _pull(docker, program.what)
            await remove_container(docker, self._name)
            config = self._configuration(program.what)
            try:
                container = await docker.containers.create(config, name=self._name)
                await container.start()
            except DockerError as error:
                raise Ended(error.message) from error

    def _configuration(self, image: str) -> dict[str, Any]:
        folder = self._layout.folder
        binds = [f"{folder}:{folder}"]
        if self._wanted.docker:
            socket = self._engine.host.removeprefix("unix://")
            binds.append(f"{socket}:{socket}")
        settings = self._wanted.settings
        files = [path for path in (settings.acme_storage, settings.acme_ca) if path]
        binds += [f"{Path(path).parent}:{Path(path).parent}" for path in files]
        return {
            "Image": image,
            "Entrypoint": ["traefik"],
            "Cmd": [f"--configFile={self._layout.static}"],
            "Labels": {INSTALLATION: self._wanted.installation, KIND: _KIND},
            "User": "0",
            "Tty": True,  # so that its log is plain text
            "HostConfig": {
                "NetworkMode": "host",
                "Binds": list(dict.fromkeys(binds)),
                "CapDrop": ["ALL"],
                # Low ports; and the files are those of the platform's user.
                "CapAdd": ["NET_BIND_SERVICE", "DAC_OVERRIDE"],
                "SecurityOpt": ["no-new-privileges"],
                "ReadonlyRootfs": True,
                "RestartPolicy": {"Name": "always"},
                "LogConfig": {"Type": "json-file", "Config": {"max-size": "1m", "max-file": "2"}},
            },
        }

    async def end(self) -> None:
        """Stop and remove the container."""
        async with self._engine.session(_STOP_SECONDS + 30) as docker:
            with contextlib.suppress(DockerError):
                await docker.containers.container(self._name).stop(t=_STOP_SECONDS)
            await remove_container(docker, self._name)

    async def is_running(self) -> bool:
        """Ask the engine."""
        state = await self._state()
        return bool(state and (state["Running"] or state["Restarting"]))

    async def require_alive(self) -> None:
        """Make sure that it did not end."""
        state = await self._state()
        if not state or not state["Running"] or state["Restarting"]:
            raise Ended(await self.tail() or "the container ended")

    async def log(self) -> list[tuple[float, str]]:
        """Return what the engine kept."""
        path = f"containers/{self._name}/logs"
        wanted = {"stdout": 1, "stderr": 1, "timestamps": 1, "tail": _LOG_LINES}
        lines: list[tuple[float, str]] = []
        try:
            async with (
                self._engine.session() as docker,
                self._engine.get(docker, path, **wanted) as answer,
            ):
                data = await answer.read()
        except (HelvetiaError, DockerError):
            return []
        for line in data.decode(errors="replace").splitlines():
            when, _, text = line.partition(" ")
            lines.append((_moment(when), text))
        return lines

    async def _state(self) -> dict[str, Any] | None:
        async with self._engine.session() as docker:
            try:
                found = await docker.containers.container(self._name).show()
            except DockerError as error:
                if error.status == 404:
                    return None
                raise
        labels = found["Config"]["Labels"] or {}
        mine = labels.get(INSTALLATION) == self._wanted.installation
        return found["State"] if mine and labels.get(KIND) == _KIND else None


async def _pull(docker: Docker, name: str) -> None:
    try:
        await docker.images.pull(name)
    except DockerError as error:
        raise HelvetiaError(
            f"the image {name} cannot be had: {error.message}",
            hint="Name another one with HELVETIA_TRAEFIK_IMAGE, or load it: `docker load`.",
        ) from error


def _moment(text: str) -> float:
    try:
        return seconds(text)
    except ValueError:
        return 0.0
