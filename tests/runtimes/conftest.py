from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import pytest
from pydantic import BaseModel

from helvetia import (
    DIRECTORY,
    Artifact,
    ArtifactReference,
    InstanceSpec,
    ResourceLimits,
)
from helvetia.plugins.runtimes.process.runtime import ProcessRuntime
from helvetia.plugins.supervisor import Supervised, SupervisedSpec

Section = TypeVar("Section", bound=BaseModel)
Value = TypeVar("Value")


async def eventually(
    probe: Callable[[], Awaitable[Value]], accept: Callable[[Value], object], seconds: float = 15.0
) -> Value:
    """Ask until the answer is accepted; the last answer is in the failure."""
    value = await probe()
    try:
        async with asyncio.timeout(seconds):
            while not accept(value):
                await asyncio.sleep(0.02)
                value = await probe()
    except TimeoutError:
        pytest.fail(f"not within {seconds:g} s, last seen: {value!r}")
    return value


def is_alive(pid: int) -> bool:
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return text.rpartition(")")[2].split()[0] not in "ZX"


async def gone(pid: int) -> None:
    async def alive() -> bool:
        return is_alive(pid)

    await eventually(alive, lambda value: not value)


def groups_below(folder: Path) -> list[Path]:
    """Return the control groups that supervisors below a folder say they have."""
    states = [json.loads(path.read_text()) for path in folder.rglob("state.json")]
    return [Path(group) for state in states for group in state["groups"]]


@dataclass
class TestKernel:
    """The real settings of a plugin and folders below a temporary one."""

    __test__ = False

    home: Path
    values: dict[str, Any]
    installation: str = "test-installation"
    domain: str = "localhost"
    edge: tuple[str, int] = ("127.0.0.1", 80)

    def section(self, schema: type[Section]) -> Section:
        return schema(**self.values)

    def folder(self, name: str) -> Path:
        path = self.home / name
        path.mkdir(parents=True, exist_ok=True)
        return path


@pytest.fixture
async def supervised(tmp_path: Path) -> AsyncIterator[Supervised]:
    """A supervised folder, with everything in it ended afterwards."""
    one = Supervised(tmp_path / "run")
    try:
        yield one
    finally:
        groups = groups_below(tmp_path)
        await one.remove()
        assert not [group for group in groups if group.exists()]


@pytest.fixture
def python(tmp_path: Path) -> Callable[..., SupervisedSpec]:
    """Make the spec of a Python program."""

    def make(code: str, **more: Any) -> SupervisedSpec:
        values: dict[str, Any] = {
            "argv": [sys.executable, "-u", "-c", code],
            "cwd": tmp_path,
            "environment": {"PATH": os.environ["PATH"]},
            "owner": f"test:{tmp_path}",
            **more,
        }
        return SupervisedSpec(**values)

    return make


def kill(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


SERVER = """
import os, socket, sys
server = socket.create_server((os.environ["HOST"], int(os.environ["PORT"])))
print("listening", flush=True)
kept = []
while True:
    kept.append(server.accept())
"""
MakeSpec = Callable[..., InstanceSpec]


def importable() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}


@pytest.fixture
def kernel(tmp_path: Path) -> TestKernel:
    return TestKernel(home=tmp_path / "home", values={})


@pytest.fixture
async def runtime(kernel: TestKernel) -> AsyncIterator[ProcessRuntime]:
    one = ProcessRuntime(kernel)
    await one.setup()
    try:
        yield one
    finally:
        groups = groups_below(kernel.home)
        for instance in await one.list():
            await one.stop(instance.id, 0)
            await one.remove(instance.id)
        assert not [group for group in groups if group.exists()]


@pytest.fixture
def spec(tmp_path: Path) -> MakeSpec:
    folder = tmp_path / "artifact"
    (folder / "bin").mkdir(parents=True)
    (folder / "server.py").write_text(SERVER)

    def make(instance_id: str = "web-1", **more: Any) -> InstanceSpec:
        processes = {"web": ["{python}", "server.py"], **more.pop("processes", {})}
        artifact = Artifact(
            kind=DIRECTORY,
            location=str(folder),
            processes=processes,
            read_only=more.pop("read_only", False),
        )
        reference = ArtifactReference(registry="r", digest="d", bytes=1, artifact=artifact)
        return InstanceSpec(
            id=instance_id,
            service_id="service",
            service_name="blog",
            release_id="release",
            artifact=reference,
            limits=more.pop("limits", ResourceLimits()),
            **more,
        )

    return make
