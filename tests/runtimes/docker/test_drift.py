"""Somebody else changes what is ours in the engine; what is not ours is never changed by us."""

from __future__ import annotations

import json
from pathlib import Path
from uuid import uuid4

import pytest

from helvetia import InstanceStatus, ReleaseFailed
from helvetia.plugins.runtimes.docker.runtime import DockerRuntime
from helvetia.testing import TestKernel
from tests.docker_engine import DockerEngine

from .conftest import MakeSpec, answer, eventually, networks


async def test_a_container_that_was_renamed_is_still_the_instance(
    runtime: DockerRuntime, kernel: TestKernel, spec: MakeSpec, docker_engine: DockerEngine
) -> None:
    instance = await runtime.start(spec())
    other = f"renamed-{uuid4().hex}"
    docker_engine("rename", f"helvetia-{kernel.installation}-web-1", other)
    assert (await runtime.observe("web-1")).status is InstanceStatus.RUNNING
    assert await runtime.start(spec()) == await runtime.find("web-1") == instance
    assert await runtime.list() == [instance]
    await runtime.remove("web-1")
    assert other not in docker_engine("ps", "-a", "--format", "{{.Names}}").split()
    assert await runtime.list() == []


async def test_a_network_that_was_removed_is_told_and_made_anew(
    runtime: DockerRuntime, kernel: TestKernel, spec: MakeSpec, docker_engine: DockerEngine
) -> None:
    await answer(await runtime.start(spec()))
    (network,) = networks(docker_engine, kernel)
    name = f"helvetia-{kernel.installation}-web-1"
    docker_engine("network", "disconnect", "--force", network, name)
    docker_engine("network", "rm", network)
    seen = await runtime.observe("web-1")
    assert (seen.status, seen.reason) == (InstanceStatus.EXITED, "was cut off from its network")
    assert b"hello" in await answer(await runtime.start(spec()))
    assert (await runtime.observe("web-1")).status is InstanceStatus.RUNNING
    assert networks(docker_engine, kernel) != [network]


async def test_a_container_that_was_stopped_or_paused_is_told(
    runtime: DockerRuntime, kernel: TestKernel, spec: MakeSpec, docker_engine: DockerEngine
) -> None:
    instance = await runtime.start(spec())
    await answer(instance)
    name = f"helvetia-{kernel.installation}-web-1"
    docker_engine("pause", name)
    seen = await runtime.observe("web-1")
    assert (seen.status, seen.reason) == (InstanceStatus.RUNNING, "paused by somebody")
    docker_engine("unpause", name)
    docker_engine("stop", name)
    assert (await runtime.observe("web-1")).status is InstanceStatus.EXITED
    assert await runtime.start(spec()) == instance
    assert b"hello" in await answer(instance)


async def test_an_image_that_was_removed_is_told(
    runtime: DockerRuntime, kernel: TestKernel, spec: MakeSpec, docker_engine: DockerEngine
) -> None:
    location = docker_engine.busybox("", 'CMD ["sleep", "600"]', f"LABEL one={uuid4().hex}")
    await runtime.start(spec(location=location))
    docker_engine("rm", "--force", f"helvetia-{kernel.installation}-web-1")
    docker_engine("rmi", "--force", location)
    with pytest.raises(ReleaseFailed, match="cannot be had: it is not in the engine") as caught:
        await runtime.start(spec(location=location))
    assert "deploy the revision again" in caught.value.hint


def _everything(engine: DockerEngine, foreign: str) -> dict[str, list[object]]:
    """What the engine says of all objects that carry a label, to the letter."""
    found: dict[str, list[object]] = {}
    for kind, listing in (
        ("container", ("ps", "-aq", "--no-trunc")),
        ("image", ("images", "-q", "--no-trunc")),
        ("volume", ("volume", "ls", "-q")),
        ("network", ("network", "ls", "-q", "--no-trunc")),
    ):
        ids = engine(*listing, "--filter", f"label={foreign}").split()
        assert ids, f"there is no foreign {kind}"
        found[kind] = sorted(json.loads(engine(kind, "inspect", *set(ids))), key=str)
    return found


async def test_foreign_objects_and_another_installation_are_left_alone(
    runtime: DockerRuntime,
    kernel: TestKernel,
    spec: MakeSpec,
    docker_engine: DockerEngine,
    tmp_path: Path,
) -> None:
    mark = f"foreign={uuid4().hex}"
    image = docker_engine.busybox(f"foreign-{uuid4().hex[:8]}:1", f"LABEL {mark}")
    docker_engine("volume", "create", "--label", mark, "--label", "helvetia.service=service")
    net = docker_engine("network", "create", "--label", mark, f"foreign-{uuid4().hex[:8]}")
    docker_engine(
        "create", "--label", mark, "--label", "helvetia.kind=instance",
        "--label", "helvetia.instance=web-1", "--network", net, image, "sleep", "600",
    )  # fmt: skip
    before = _everything(docker_engine, mark)
    settings = {"docker": docker_engine.settings}
    theirs = DockerRuntime(TestKernel(tmp_path / "other", settings))
    await theirs.setup()
    mounted = {"volumes": {"data": "/srv/data"}}
    # The very same ids in both.
    other = await theirs.start(spec(**mounted))
    try:
        own = await runtime.start(spec(**mounted))
        assert own.host != other.host
        for one in (theirs, runtime):
            assert [instance.id for instance in await one.list()] == ["web-1"]
        await runtime.stop("web-1", 0)
        await runtime.remove("web-1")
        await runtime.forget("service", None)
        await runtime.setup()
        assert b"hello" in await answer(other)
        await eventually(
            lambda: theirs.observe("web-1"), lambda seen: seen.status is InstanceStatus.RUNNING
        )
        assert await theirs.find("web-1") == other
        assert await runtime.list() == []
    finally:
        await theirs.remove("web-1")
        await theirs.forget("service", None)
    assert _everything(docker_engine, mark) == before
    for kind in ("container", "image", "volume", "network"):
        listing = ("ps", "-aq") if kind == "container" else (kind, "ls", "-q")
        docker_engine(kind, "rm", *docker_engine(*listing, "--filter", f"label={mark}").split())
