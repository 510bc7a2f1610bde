"""What a service writes into its volumes outlives containers, and goes with the service."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import uuid4

import pytest

from helvetia import ReleaseFailed
from helvetia.plugins.runtimes.docker.runtime import DockerRuntime
from helvetia.testing import Lines, TestKernel
from tests.docker_engine import DockerEngine

from .conftest import MakeSpec, container, eventually

WRITE = {"write": ["sh", "-c", "echo kept >> /srv/data/file; cat /srv/data/file"]}


@pytest.fixture
def service(kernel: TestKernel, docker_engine: DockerEngine) -> Iterator[str]:
    yield (name := f"svc-{uuid4().hex[:8]}")
    for volume in volumes(docker_engine, f"helvetia.service={name}"):
        docker_engine("volume", "rm", "--force", volume)


def volumes(engine: DockerEngine, label: str) -> list[str]:
    return engine("volume", "ls", "--quiet", "--filter", f"label={label}").split()


async def test_a_volume_outlives_containers_and_goes_with_the_service(
    runtime: DockerRuntime,
    kernel: TestKernel,
    spec: MakeSpec,
    docker_engine: DockerEngine,
    service: str,
) -> None:
    mine = {"service_id": service, "volumes": {"data": "/srv/data", "more": "/srv/more"}}
    one = spec(**mine, processes={**WRITE, "web": ["sh", "-c", "echo a>/srv/data/file; sleep 99"]})
    await runtime.start(one)
    made = {mount["Destination"]: mount for mount in container(docker_engine, kernel)["Mounts"]}
    assert made.keys() == {"/srv/data", "/srv/more"}
    assert {mount["Type"] for mount in made.values()} == {"volume"}
    await runtime.stop("web-1", 0)
    await runtime.remove("web-1")

    log = Lines()
    assert await runtime.run(spec("write", processes=WRITE, **mine), log) == 0
    assert log.text.split() == ["a", "kept"]
    again = spec(
        id="web-2", processes={"web": ["sh", "-c", "cat /srv/data/file; sleep 99"]}, **mine
    )
    await runtime.start(again)
    page = await eventually(lambda: runtime.logs("web-2", "", 9), lambda page: len(page.lines) > 1)
    assert [line.text for line in page.lines] == ["a", "kept"]
    await runtime.forget(service, {"d"})
    await runtime.remove("web-2")

    assert len(volumes(docker_engine, f"helvetia.service={service}")) == 2
    theirs = docker_engine("volume", "create", "--label", f"helvetia.service={service}")
    await runtime.forget("other", None)
    assert len(volumes(docker_engine, f"helvetia.service={service}")) == 3
    for _ in range(2):
        await runtime.forget(service, None)
    assert volumes(docker_engine, f"helvetia.service={service}") == [theirs]


async def test_a_volume_of_somebody_else_is_not_taken(
    runtime: DockerRuntime,
    kernel: TestKernel,
    spec: MakeSpec,
    docker_engine: DockerEngine,
    service: str,
) -> None:
    name = f"helvetia-{kernel.installation}-{service}-data"
    docker_engine("volume", "create", name)
    try:
        with pytest.raises(ReleaseFailed, match=f"the volume {name} belongs to somebody else"):
            await runtime.start(spec(service_id=service, volumes={"data": "/srv/data"}))
        await runtime.forget(service, None)
        assert docker_engine("volume", "inspect", "--format", "{{.Name}}", name) == name
        assert await runtime.list() == []
    finally:
        docker_engine("volume", "rm", name)


async def test_what_an_image_declares_as_volumes_goes_with_the_container(
    runtime: DockerRuntime, kernel: TestKernel, spec: MakeSpec, docker_engine: DockerEngine
) -> None:
    location = docker_engine.busybox("", 'CMD ["sleep", "600"]', "VOLUME /data")
    await runtime.start(spec(location=location))
    (mount,) = container(docker_engine, kernel)["Mounts"]
    assert mount["Type"] == "volume"
    await runtime.remove("web-1")
    assert mount["Name"] not in docker_engine("volume", "ls", "--quiet").split()
