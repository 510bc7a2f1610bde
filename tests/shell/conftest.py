"""The API in this process, with a service whose live release runs as a process."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest

# The API's own tests have the world; their folder is no package.
sys.path.append(str(Path(__file__).parents[1] / "http"))

from http_support import TOKENS, World, make_home, make_release, make_service, open_platform, serve

from helvetia import DIRECTORY, Artifact, ArtifactReference
from helvetia.kernel import environment
from helvetia.kernel.models import Release, Service
from helvetia.kernel.pipeline.specs import dump_reference

SECRET = "correct-horse-battery"


@pytest.fixture(scope="package")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_home(tmp_path_factory.mktemp("shell"))


@dataclass
class Shell:
    """One open socket, as a client sees it."""

    socket: aiohttp.ClientWebSocketResponse
    shown: dict[int, bytes]
    notes: list[str]

    async def until(self, text: str) -> None:
        """Read until a text is shown."""
        while text.encode() not in self.shown[1]:
            assert await self.frame() == {}, f"it ended before {text!r} came: {self.shown}"

    async def frame(self) -> dict[str, Any]:
        """Read on; return a frame that is neither output nor a note."""
        message = await self.socket.receive(timeout=20)
        if message.type is aiohttp.WSMsgType.BINARY:
            self.shown[message.data[0]] += message.data[1:]
            return {}
        assert message.type is aiohttp.WSMsgType.TEXT, message
        frame: dict[str, Any] = json.loads(message.data)
        if "note" in frame:
            self.notes.append(frame["note"])
            return {}
        return frame

    async def end(self) -> dict[str, Any]:
        """Read to the end and return the last frame."""
        while not (frame := await self.frame()) or "started" in frame:
            pass
        assert (await self.socket.receive(timeout=20)).type is aiohttp.WSMsgType.CLOSE
        return frame


@dataclass
class Place:
    world: World
    service: Service
    release: Release

    @asynccontextmanager
    async def open(self, wanted: object, *, who: str = "admin") -> AsyncIterator[Shell]:
        url = f"{self.world.url}/api/v1/services/web/shell"
        headers = {"Authorization": f"Bearer {TOKENS[who]}"}
        async with self.world.session.ws_connect(url, headers=headers) as socket:
            await socket.send_str(json.dumps(wanted))
            yield Shell(socket, {1: b"", 2: b""}, [])

    async def ran(self, *command: str, **more: Any) -> tuple[dict[str, Any], Shell]:
        async with self.open({"command": command, **more}) as shell:
            return await shell.end(), shell

    @property
    def left(self) -> list[str]:
        """What is left of copies."""
        folder = self.world.platform.home / "process" / ".runs"
        return [path.name for path in folder.iterdir()] if folder.is_dir() else []


@pytest.fixture
async def place(
    request: pytest.FixtureRequest, migrated: Path, tmp_path: Path
) -> AsyncIterator[Place]:
    """Indirect parameters are settings."""
    settings: dict[str, str] = getattr(request, "param", {})
    home = shutil.copytree(migrated, tmp_path / "home")
    async with open_platform(home, **settings) as platform, serve(platform) as world:
        service = await make_service()
        folder = tmp_path / "artifact"
        folder.mkdir()
        (folder / "hello.txt").write_text("hello\n")
        await environment.change(service, platform.vault, set={"WORD": SECRET})
        service = await Service.get(id=service.id)
        release = await make_release(service, 3)
        artifact = Artifact(kind=DIRECTORY, location=str(folder), processes={"web": ["true"]})
        reference = ArtifactReference(registry="r", digest="d", bytes=1, artifact=artifact)
        await Release.filter(id=release.id).update(
            artifact=dump_reference(reference),
            configuration={"limits": {}, "stop_grace_seconds": 1, "health": {}},
            environment_version=service.environment_version,
            providers={"runtime": "process", "registry": "folder", "builder": "static"},
        )
        yield Place(world, service, await Release.get(id=release.id))
