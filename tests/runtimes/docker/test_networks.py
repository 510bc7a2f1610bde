from __future__ import annotations

import asyncio
import socket
from pathlib import Path
from uuid import uuid4

import pytest

from helvetia import (
    ReleaseFailed,
)
from helvetia.plugins.runtimes.docker.runtime import DockerRuntime
from helvetia.testing import Lines, TestKernel
from tests.docker_engine import DockerEngine

from .conftest import (
    REACH,
    MakeSpec,
    answer,
    eventually,
    networks,
)


async def test_services_and_instances_do_not_reach_each_other(
    runtime: DockerRuntime, spec: MakeSpec, docker_engine: DockerEngine
) -> None:
    own = await runtime.start(spec(id="own"))
    other = await runtime.start(spec(id="other", service_id="other"))
    targets = [f"{one.host}:{one.port}" for one in (own, other)]
    for one in (own, other):
        assert b"hello" in await answer(one), "the platform reaches both"

    with socket.create_server((docker_engine.gateway, 0)) as server:
        outside = f"{docker_engine.gateway}:{server.getsockname()[1]}"
        reach = {"r": ["python3", "-c", REACH, outside, *targets]}
        log = Lines()
        running = asyncio.create_task(
            runtime.run(spec("r", location=docker_engine.python, processes=reach), log)
        )
        client, _ = await asyncio.to_thread(server.accept)
        client.close()
        assert await running == 0
    assert log.text.split() == [outside, "TimeoutError", "TimeoutError"]


async def test_an_address_is_kept_while_the_container_is_down(
    runtime: DockerRuntime, kernel: TestKernel, spec: MakeSpec, docker_engine: DockerEngine
) -> None:
    first = await runtime.start(spec("late", id="first"))
    await eventually(lambda: runtime.observe("first"), lambda seen: seen.restarts >= 2)
    others = [await runtime.start(spec(id=f"other-{n}")) for n in range(4)]
    assert len({one.host for one in (first, *others)}) == 5
    name = f"helvetia-{kernel.installation}-first"
    address = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}"

    async def addresses() -> str:
        return docker_engine("inspect", "--format", address, name)

    assert await eventually(addresses, bool) == first.host
    await runtime.stop("other-0", 0)
    assert await runtime.run(spec("crash"), Lines()) == 4, "it takes no address of an instance"
    assert await runtime.start(spec(id="other-0")) == others[0]


async def test_one_network_for_all_who_start_at_once(
    runtime: DockerRuntime, kernel: TestKernel, spec: MakeSpec, docker_engine: DockerEngine
) -> None:
    platforms = [runtime, *(DockerRuntime(kernel) for _ in range(3))]
    instances = await asyncio.gather(
        *(one.start(spec(id=f"i-{n}")) for n, one in enumerate(platforms))
    )
    assert len({one.host for one in instances}) == 4
    assert len(networks(docker_engine, kernel)) == 1
    for instance in instances:
        assert len(networks(docker_engine, kernel)) == 1
        await runtime.remove(instance.id)
    assert networks(docker_engine, kernel) == []


async def test_a_network_is_found_beside_those_of_others(
    spec: MakeSpec, docker_engine: DockerEngine, tmp_path: Path
) -> None:
    subnets = docker_engine.settings["subnets"].replace("/18", "/25").replace(".64.", ".96.")
    settings = {"docker": {**docker_engine.settings, "subnets": subnets}}
    runtime = DockerRuntime(TestKernel(tmp_path / "h", settings))
    foreign = f"foreign-{uuid4().hex}"
    docker_engine("network", "create", "--subnet", subnets.replace("/25", "/26"), foreign)
    try:
        instance = await runtime.start(spec(service_id="a"))
        assert int(instance.host.rpartition(".")[2]) > 64
        with pytest.raises(ReleaseFailed, match=r"no network of .*/25 is free") as caught:
            await runtime.start(spec(id="web-2", service_id="b"))
        assert "subnets" in caught.value.hint
    finally:
        await runtime.remove("web-1")
        docker_engine("network", "rm", foreign)
