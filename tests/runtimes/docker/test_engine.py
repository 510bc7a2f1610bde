from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from helvetia import (
    HelvetiaError,
)
from helvetia.plugins.runtimes import docker
from helvetia.plugins.runtimes.docker.engine import Engine
from helvetia.plugins.runtimes.docker.runtime import DockerRuntime
from helvetia.testing import TestKernel
from tests.docker_engine import DockerEngine, running_engine

from .conftest import (
    SCRIPTS,
    MakeSpec,
    answer,
)


async def test_an_engine_is_restarted(tmp_path: Path, spec: MakeSpec) -> None:
    with running_engine() as engine:
        files = {"bin/serve": f"#!/bin/sh\n{SCRIPTS['serve']}"}
        location = engine.busybox("", 'CMD ["/bin/serve"]', **files)
        runtime = DockerRuntime(TestKernel(tmp_path / "h", {"docker": engine.settings}))
        one = spec(location=location)
        instance = await runtime.start(one)
        await answer(instance)
        await asyncio.to_thread(engine.stop)
        for verb in (runtime.observe("web-1"), runtime.start(one), runtime.list()):
            with pytest.raises(HelvetiaError, match="does not answer") as caught:
                await verb
            assert "systemctl status docker" in caught.value.hint
        assert not (await runtime.check()).ok
        await runtime.setup()
        await asyncio.to_thread(engine.start)
        assert b"hello" in await answer(instance), "it is up again at the same address"
        assert await runtime.start(one) == instance
        page = await runtime.logs("web-1", "", 10)
        assert [line.text for line in page.lines] == ["serving", "bye", "serving"]
        await asyncio.to_thread(engine.kill)
        await asyncio.to_thread(engine.start)
        assert await runtime.start(one) == instance
        assert b"hello" in await answer(instance)


async def test_check_says_what_is_used(runtime: DockerRuntime, docker_engine: DockerEngine) -> None:
    check = await runtime.check()
    assert check.ok
    assert check.reason.startswith("Docker 2")
    assert docker_engine.url in check.reason


@pytest.fixture
async def serve(tmp_path: Path) -> AsyncIterator[Callable[..., Any]]:
    """Serve one answer to everything on a unix socket."""
    servers: list[asyncio.Server] = []

    async def start(said: bytes) -> str:
        async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readline()
            writer.write(said)
            await writer.drain()
            if said:
                writer.close()

        path = tmp_path / "socket"
        servers.append(await asyncio.start_unix_server(talk, path))
        return f"unix://{path}"

    yield start
    for server in servers:
        server.close()


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (b"", "does not answer"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "is no Docker engine"),
        (
            b"HTTP/1.1 200 OK\r\nApi-Version: 1.39\r\nContent-Length: 0\r\n\r\n",
            "too old: it speaks API 1.39, needed is 1.41 (Docker 20.10)",
        ),
        (
            b"HTTP/1.1 200 OK\r\nApi-Version: 1.52\r\nOstype: windows\r\nContent-Length: 0\r\n\r\n",
            "runs windows containers",
        ),
    ],
)
async def test_check_says_why_what_answers_is_of_no_use(
    serve: Callable[..., Any], said: bytes, reason: str
) -> None:
    began = time.monotonic()
    check = await Engine(await serve(said)).check()
    assert not check.ok
    assert reason in check.reason
    assert time.monotonic() - began < 2


async def test_check_says_why_there_is_no_engine(
    tmp_path: Path, docker_engine: DockerEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "none"
    monkeypatch.setenv("DOCKER_HOST", "ssh://somewhere")
    assert "use unix:/// or tcp://" in (await Engine("").check()).reason
    monkeypatch.setenv("DOCKER_HOST", f"unix://{path}")
    check = await Engine("").check()
    assert (check.ok, check.reason) == (False, f"no Docker engine: there is no unix://{path}")
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    assert "nobody listens at" in (await Engine("").check()).reason
    os.seteuid(65534)
    try:
        reason = (await Engine(docker_engine.url).check()).reason
    finally:
        os.seteuid(0)
    assert "may not use" in reason
    assert "group `docker`" in reason


def test_hooks_offer_runtime_and_settings(kernel: TestKernel) -> None:
    assert [section.name for section in docker.helvetia_settings()] == ["docker"]
    assert [runtime.name for runtime in docker.helvetia_runtimes(kernel)] == ["docker"]
    for bad in ({"host": "docker.sock"}, {"subnets": "10.0.0.0/27"}, {"subnets": "x"}):
        with pytest.raises(ValueError, match=r"host|subnets"):
            docker.DockerSettings(**bad)
