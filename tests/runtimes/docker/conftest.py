from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from helvetia import (
    OCI_IMAGE,
    Artifact,
    ArtifactReference,
    Instance,
    InstanceSpec,
    RuntimeLog,
)
from helvetia.plugins.runtimes.docker.runtime import DockerRuntime
from helvetia.testing import TestKernel
from tests.docker_engine import DockerEngine
from tests.runtimes.conftest import eventually

SCRIPTS = {
    # Serves, ends at once on SIGTERM, and says what it finds.
    "serve": """
        trap 'echo bye; exit 0' TERM
        httpd -f -p $HOST:$PORT -h /www &
        echo serving
        wait
    """,
    "crash": "echo trying; exit 4",
    "eat": "tail /dev/zero",
    "late": "sleep 0.2; exit 5",
    "mixed": """
        long=$(printf '%040000d' 0)
        for n in 0 1 2 3 4 5 6 7 8 9
        do
          echo "out $n $long"
          echo "short $n" >&2
          echo "err $n $long" >&2
        done
        echo "€ done"
        exec sleep 600
    """,
    "flood": """
        n=0
        while [ $n -lt 30000 ]
        do
          echo "line $n of a flood that does not fit into the log"
          n=$((n + 1))
        done
        exec sleep 600
    """,
    "unfinished": "printf '%020000d' 1; sleep 0.5; echo other >&2; exec sleep 600",
    "inside": "httpd -p 127.0.0.1:$PORT -h /www && echo up; exec sleep 600",
    "look": "env; id -u; sed -n 's/^Cap[BP].*:/&/p; s/^NoNew.*/&/p' /proc/self/status",
}
REACH = """
import socket, sys
for target in sys.argv[1:]:
    host, port = target.split(":")
    try:
        socket.create_connection((host, int(port)), 2).recv(1)
        print(target)
    except OSError as error:
        print(type(error).__name__)
"""
PROCESSES = {"web": [], **{name: [f"/bin/{name}"] for name in SCRIPTS}}
MakeSpec = Callable[..., InstanceSpec]


@pytest.fixture(scope="module")
def image(docker_engine: DockerEngine) -> str:
    files = {f"bin/{name}": f"#!/bin/sh\n{text}" for name, text in SCRIPTS.items()}
    return docker_engine.busybox("", 'CMD ["/bin/serve"]', "EXPOSE 9000/tcp", **files)


@pytest.fixture
def kernel(tmp_path: Path, docker_engine: DockerEngine) -> TestKernel:
    return TestKernel(tmp_path / "home", {"docker": docker_engine.settings})


@pytest.fixture
async def runtime(kernel: TestKernel) -> AsyncIterator[DockerRuntime]:
    one = DockerRuntime(kernel)
    await one.setup()
    try:
        yield one
    finally:
        for instance in await one.list():
            await one.remove(instance.id)
        await one.close()


@pytest.fixture
def spec(image: str) -> MakeSpec:
    def make(process: str = "web", id: str = "web-1", **more: Any) -> InstanceSpec:
        artifact = Artifact(
            kind=more.pop("kind", OCI_IMAGE),
            location=more.pop("location", image),
            processes={**PROCESSES, **more.pop("processes", {})},
        )
        reference = ArtifactReference(registry="r", digest="d", bytes=1, artifact=artifact)
        values = {"service_id": "service", "release_id": "release", "service_name": "blog", **more}
        return InstanceSpec(id=id, artifact=reference, process=process, **values)

    return make


async def answer(instance: Instance) -> bytes:
    async def ask() -> bytes:
        try:
            reader, writer = await asyncio.open_connection(instance.host, instance.port)
            writer.write(b"GET / HTTP/1.0\r\n\r\n")
            said = await reader.read()
            writer.close()
        except OSError:
            return b""
        return said

    return await eventually(ask, bool)


def container(engine: DockerEngine, kernel: TestKernel, id: str = "web-1") -> dict[str, Any]:
    found: list[dict[str, Any]] = json.loads(
        engine("inspect", f"helvetia-{kernel.installation}-{id}")
    )
    return found[0]


def networks(engine: DockerEngine, kernel: TestKernel) -> list[str]:
    mine = f"label=helvetia.installation={kernel.installation}"
    return engine("network", "ls", "--quiet", "--no-trunc", "--filter", mine).split()


async def read_all(runtime: DockerRuntime, limit: int, cursor: str = "") -> list[RuntimeLog]:
    """Read to the present end, each page by a runtime that knows nothing of the one before."""
    lines: list[RuntimeLog] = []
    while True:
        page = await runtime.logs("web-1", cursor, limit)
        assert len(page.lines) <= limit
        assert page.dropped == 0
        if not page.lines:
            return lines
        lines += page.lines
        cursor = page.cursor
        await runtime.close()
