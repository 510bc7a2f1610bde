from __future__ import annotations

import asyncio
import os
import signal
import socket
import time

import pytest

from helvetia import (
    InstanceStatus,
    ReleaseFailed,
    ResourceLimits,
)
from helvetia.plugins.runtimes.docker.engine import Engine
from helvetia.plugins.runtimes.docker.runtime import DockerRuntime
from helvetia.testing import Lines, TestKernel
from tests.docker_engine import DockerEngine

from .conftest import (
    MakeSpec,
    answer,
    container,
    eventually,
    networks,
)


async def test_a_crash_loop_is_told(runtime: DockerRuntime, spec: MakeSpec) -> None:
    await runtime.start(spec("crash"))
    seen = await eventually(
        lambda: runtime.observe("web-1"),
        lambda seen: seen.status is InstanceStatus.CRASH_LOOP and "exited" in seen.reason[:6],
    )
    assert seen.exit_code == 4
    assert seen.restarts >= 3
    assert seen.reason.startswith("exited with code 4 after 0.")
    assert seen.reason.endswith("starts again by itself")
    await runtime.stop("web-1", 5)
    seen = await runtime.observe("web-1")
    assert (seen.status, seen.exit_code) == (InstanceStatus.EXITED, 4)


async def test_the_end_before_this_run_is_told(
    runtime: DockerRuntime, spec: MakeSpec, docker_engine: DockerEngine, kernel: TestKernel
) -> None:
    await runtime.start(spec())
    os.kill(container(docker_engine, kernel)["State"]["Pid"], signal.SIGKILL)
    seen = await eventually(
        lambda: runtime.observe("web-1"),
        lambda seen: seen.restarts and seen.status is InstanceStatus.RUNNING,
    )
    assert seen.reason == "started again after: killed by SIGKILL"
    assert (seen.exit_code, seen.restarts, seen.out_of_memory) == (-signal.SIGKILL, 1, False)


async def test_the_memory_limit_is_told(runtime: DockerRuntime, spec: MakeSpec) -> None:
    few = ResourceLimits(memory_mb=16)
    await runtime.start(spec("eat", limits=few))
    seen = await eventually(lambda: runtime.observe("web-1"), lambda seen: seen.restarts)
    assert seen.out_of_memory
    assert "memory limit 16 MB reached" in seen.reason
    log = Lines()
    assert await runtime.run(spec("eat", limits=few), log) == -signal.SIGKILL
    assert log.said == ["memory limit 16 MB reached"]


async def test_what_was_removed_by_others_is_gone_and_starts_anew(
    runtime: DockerRuntime, kernel: TestKernel, spec: MakeSpec, docker_engine: DockerEngine
) -> None:
    await runtime.start(spec())
    before = await eventually(lambda: runtime.logs("web-1", "", 10), lambda page: page.lines)
    docker_engine("rm", "--force", f"helvetia-{kernel.installation}-web-1")
    assert (await runtime.observe("web-1")).status is InstanceStatus.GONE
    assert await runtime.find("web-1") is None
    await runtime.stop("web-1", 1)
    await runtime.setup()
    assert networks(docker_engine, kernel) == []
    assert b"hello" in await answer(await runtime.start(spec()))
    page = await runtime.logs("web-1", before.cursor, 10)
    assert [line.text for line in page.lines] == ["serving"]


async def test_a_container_that_was_only_created_is_started(
    runtime: DockerRuntime, kernel: TestKernel, spec: MakeSpec, docker_engine: DockerEngine
) -> None:
    async with Engine(docker_engine.url).session() as session:
        assert await runtime._create(session, spec()) is not None  # then the platform was killed
    seen = await runtime.observe("web-1")
    assert (seen.status, seen.reason) == (InstanceStatus.EXITED, "was never started")
    assert (await runtime.logs("web-1", "", 10)).lines == []
    assert b"hello" in await answer(await runtime.start(spec()))


async def test_strangers_are_left_alone(
    runtime: DockerRuntime,
    kernel: TestKernel,
    spec: MakeSpec,
    docker_engine: DockerEngine,
    image: str,
) -> None:
    name = f"helvetia-{kernel.installation}-web-1"
    theirs = docker_engine("run", "--detach", "--name", name, image, "sleep", "600")
    net = docker_engine("network", "create", f"helvetia-{kernel.installation}-x")
    try:
        with pytest.raises(ReleaseFailed, match="belongs to somebody else"):
            await runtime.start(spec())
        assert await runtime.list() == []
        assert (await runtime.observe("web-1")).status is InstanceStatus.GONE
        await runtime.stop("web-1", 0)
        await runtime.remove("web-1")
        await runtime.setup()
        assert docker_engine("inspect", "--format", "{{.State.Running}}", theirs) == "true"
        assert docker_engine("network", "inspect", "--format", "{{.Id}}", net) == net
    finally:
        docker_engine("rm", "--force", theirs)
        docker_engine("network", "rm", net)


async def test_nobody_waits_for_a_program_that_cannot_hear(
    runtime: DockerRuntime, spec: MakeSpec
) -> None:
    await answer(await runtime.start(spec()))
    await runtime.stop("web-1", 30)
    seen = await runtime.observe("web-1")
    assert (seen.status, seen.exit_code) == (InstanceStatus.EXITED, 0), "it heard SIGTERM"
    deaf = {"processes": {"web": ["sleep", "600"]}}
    await runtime.start(spec(id="deaf", **deaf))
    began = time.monotonic()
    await runtime.stop("deaf", 30)
    assert time.monotonic() - began < 5
    assert (await runtime.observe("deaf")).exit_code == -signal.SIGKILL


async def test_connections_and_listeners_are_counted(
    runtime: DockerRuntime, spec: MakeSpec
) -> None:
    instance = await runtime.start(spec())
    await eventually(lambda: runtime.listening("web-1"), lambda ports: ports == (9000,))
    assert await runtime.connections("web-1") == 0
    clients = [socket.create_connection((instance.host, instance.port)) for _ in range(3)]
    assert await runtime.connections("web-1") == 3
    for client in clients:
        client.close()
    await eventually(lambda: runtime.connections("web-1"), lambda count: count == 0)
    await runtime.start(spec("inside", id="web-2"))
    await eventually(lambda: runtime.logs("web-2", "", 1), lambda page: page.lines)
    assert await runtime.listening("web-2") == (), "nobody reaches loopback of its container"
    assert await runtime.connections("other") is None
    assert await runtime.listening("other") == ()
    await runtime.stop("web-1", 0)
    assert await runtime.listening("web-1") == ()
    assert await runtime.connections("web-1") is None
    assert await runtime.stats("web-1") is None


async def test_what_a_killed_platform_ran_is_collected(
    runtime: DockerRuntime, kernel: TestKernel, spec: MakeSpec, docker_engine: DockerEngine
) -> None:
    mine = f"label=helvetia.installation={kernel.installation}"

    async def running() -> list[str]:
        return docker_engine("ps", "--all", "--quiet", "--filter", mine).split()

    kept = asyncio.create_task(
        runtime.run(spec("idle", processes={"idle": ["sleep", "600"]}), Lines())
    )
    await eventually(running, lambda found: len(found) == 1)
    # The lock of a platform that was killed is held by nobody.
    (lock,) = (kernel.home / "docker").glob("*.lock")
    left = docker_engine(
        "run", "--detach", "--name", f"helvetia-{kernel.installation}-run-dead",
        "--label", mine.removeprefix("label="), spec().artifact.artifact.location, "sleep", "600",
    )  # fmt: skip
    (kernel.home / "docker" / "dead.lock").touch()
    await DockerRuntime(kernel).setup()
    assert len(await running()) == 1
    assert not left.startswith((await running())[0])
    assert [lock] == list((kernel.home / "docker").glob("*.lock"))
    kept.cancel()
    await asyncio.wait([kept])
    assert await running() == []
    assert not lock.exists()
    await runtime.setup()
    assert networks(docker_engine, kernel) == []
