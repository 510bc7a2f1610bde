"""The builder `buildah`: without privileges, in a real engine."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from helvetia import OCI_IMAGE, BuildFailed
from helvetia.plugins.builders.buildah.builder import BuildahBuilder
from helvetia.plugins.builders.docker.builder import DockerBuilder
from helvetia.plugins.builders.docker.recipe import detect
from helvetia.testing import TestKernel
from tests.docker_engine import DockerEngine

from .conftest import Workshop, lay
from .docker_building import caches, everything, files
from .docker_image import builder_image
from .test_docker_builder import contents, hanging, run
from .test_docker_warm import build_for

# Its image alone takes a minute.
pytestmark = pytest.mark.long
Make = Callable[..., BuildahBuilder]


@pytest.fixture(scope="module")
def buildah_image(docker_engine: DockerEngine) -> str:
    return builder_image(docker_engine, "buildah")


@pytest.fixture
def buildah(
    docker_engine: DockerEngine, buildah_image: str, installation: str, tmp_path: Path
) -> Make:
    def make(**settings: Any) -> BuildahBuilder:
        own = {"image": buildah_image, "disk_mb": 1024, **settings}
        sections = {"docker": docker_engine.settings, "buildah": own}
        return BuildahBuilder(TestKernel(tmp_path / "home", sections, installation=installation))

    return make


async def fails(workshop: Workshop, builder: BuildahBuilder, *dockerfile: str) -> str:
    with pytest.raises(BuildFailed) as failed:
        await workshop.build(builder, files(*dockerfile))
    assert failed.value.hint
    return failed.value.message


async def test_stages_arguments_and_secrets(
    buildah: Make, workshop: Workshop, docker_engine: DockerEngine, tmp_path: Path
) -> None:
    name = f"base-{uuid4().hex[:8]}:1"
    docker_engine.busybox(name)
    (tmp_path / "images").mkdir()
    docker_engine.save(name, tmp_path / "images/base.tar")
    docker_engine("image", "rm", name)
    given = files(
        "ARG WHO",
        "RUN --mount=type=secret,id=TOKEN wc -c < /run/secrets/TOKEN > /size;"
        " cat /run/secrets/TOKEN",
        'RUN echo "hello $WHO" > /hello; chown 10001:10002 /hello; printf "no line end"',
        "FROM base AS other",
        "RUN exit 7",
        f"FROM {name} AS last",
        "COPY --from=0 /hello /size /",
        "COPY --chown=10001 . /all/",
        'CMD ["/bin/sh", "-c", "cat /hello /size; ls /all"]',
        **{".dockerignore": "left\n", "left": "left", "kept": "kept"},
    )
    artifact, log = await workshop.build(
        buildah(base_images=str(tmp_path / "images")),
        given,
        settings={"args": "WHO='the world'", "target": "last"},
        environment={"TOKEN": "s3cr3t-of-the-build", "OTHER": "an0ther-secret"},
    )
    assert artifact.kind == OCI_IMAGE
    assert artifact.facts["built by"] == "buildah"
    said = run(docker_engine, artifact).split()
    assert said[:4] == ["hello", "the", "world", "19"]
    assert "kept" in said
    assert "left" not in said
    assert any(line.startswith("step 7/7: RUN echo") for line in log.said), log.said
    assert "  no line end\n" in log.output.decode()
    assert "RUN exit 7" not in log.text
    for noise in ("Copying blob", "subprocess", "STEP"):
        assert noise not in log.text
    image = contents(artifact.location)
    assert b"hello" in image
    assert b"s3cr3t" not in image
    assert b"an0ther" not in image


async def test_failures_and_limits_are_told(buildah: Make, workshop: Workshop) -> None:
    small = buildah(memory_mb=512, pids=512, disk_mb=256)
    message = await fails(workshop, small, "RUN echo one >&2; echo two >&2; exit 3")
    assert (
        message == "step 5/5 (RUN echo one >&2; echo two >&2; exit 3) ended with exit code 3: two"
    )
    message = await fails(workshop, small, "RUN tail /dev/zero")
    assert message == "memory limit 512 MB reached while running step 5/5 (RUN tail /dev/zero)"
    write = "dd if=/dev/zero of=/big bs=1M count=400"
    message = await fails(workshop, small, f"RUN {write}")
    assert message == f"disk limit 256 MB reached while running step 5/5 (RUN {write})"
    many = "for n in 1 2 3 4; do dd if=/dev/zero of=/big$n bs=1M count=100; done; sleep 60"
    message = await fails(workshop, small, f"RUN {many}")
    assert message == f"disk limit 256 MB reached while running step 5/5 (RUN {many})"
    message = await fails(workshop, buildah(seconds=5), "RUN sleep 50")
    assert message.startswith("time limit 5 s reached ")


async def test_no_privileges_and_nothing_left_when_cancelled(
    buildah: Make, workshop: Workshop, docker_engine: DockerEngine, installation: str
) -> None:
    theirs = docker_engine("network", "create", f"other-{uuid4().hex[:8]}")
    volume = docker_engine("volume", "create")
    volumes = docker_engine("volume", "ls", "-q")
    builder = buildah()
    task, _ = await hanging(builder, workshop, files("RUN echo hanging; sleep 600"))
    mine = f"label=helvetia.installation={installation}"
    (container,) = docker_engine("ps", "-q", "--filter", mine).split()
    (found,) = json.loads(docker_engine("inspect", container))
    host = found["HostConfig"]
    assert not host["Privileged"]
    assert host["CapDrop"] == ["ALL"]
    assert len(host["CapAdd"]) == 9
    assert "SYS_ADMIN" not in str(host["CapAdd"])
    assert "no-new-privileges" in host["SecurityOpt"]
    assert not host["Binds"]
    assert not host["Devices"]
    assert [(one["Type"], one["Destination"]) for one in found["Mounts"]] == [("volume", "/cache")]
    assert list(found["NetworkSettings"]["Networks"]) == [found["Name"].removeprefix("/")]
    assert "s3cr3t" not in json.dumps(found)
    assert (host["Memory"], host["PidsLimit"]) == (2048 * 2**20, 2048)
    began = time.monotonic()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert time.monotonic() - began < 5
    assert not everything(docker_engine, installation)
    await builder.forget("s1")
    await builder.collect([])
    assert docker_engine("volume", "ls", "-q") == volumes
    assert docker_engine("network", "inspect", "--format", "{{.Id}}", theirs) == theirs
    docker_engine("network", "rm", theirs)
    docker_engine("volume", "rm", volume)


@pytest.mark.timeout(300)
async def test_layers_are_kept_for_the_service_alone(
    buildah: Make, workshop: Workshop, docker_engine: DockerEngine, installation: str
) -> None:
    builder = buildah()
    given = files("RUN echo one; echo dear > /dear", 'CMD ["/bin/sh", "-c", "cat /dear"]')
    _, log = await workshop.build(builder, given)
    assert "from the cache" not in log.text
    (volume,) = caches(docker_engine, installation)
    artifact, log = await workshop.build(buildah(), given)
    assert log.text.count("from the cache") >= 3
    assert run(docker_engine, artifact) == "dear"
    log = await build_for("s2", workshop, builder, "RUN echo one; echo dear > /dear")
    assert "from the cache" not in log.text
    await builder.forget("s2")
    assert caches(docker_engine, installation) == [volume]
    # The builder `docker` has caches of its own, and lets these be.
    own = {"image": builder_image(docker_engine)}
    sections = {"docker": docker_engine.settings, "docker_builder": own}
    kernel = TestKernel(workshop.place, sections, installation=installation)
    assert await DockerBuilder(kernel).forget("s1") == 0
    assert await builder.forget("s1") > 2**20
    assert not caches(docker_engine, installation)
    _, log = await workshop.build(buildah(cache_mb=0), given)
    assert not caches(docker_engine, installation)
    await workshop.build(buildah(cache_mb=1), given)
    assert not caches(docker_engine, installation)


async def test_it_is_taken_only_when_it_is_named(
    tmp_path: Path, docker_engine: DockerEngine
) -> None:
    place = lay(tmp_path / "x", {"Dockerfile": "FROM x"})
    nowhere = {"docker": {"host": f"unix://{tmp_path}/none.sock"}}
    builder = BuildahBuilder(TestKernel(tmp_path, nowhere))
    check = await builder.check()
    assert not check.ok
    assert "no Docker engine" in check.reason
    found = await builder.detect(place)
    assert 0 < found.score < detect(place).score
    assert found.reason == (
        "there is a Dockerfile; only where a service names it, or `preferred` is set"
    )
    wanted: dict[str, dict[str, Any]] = {
        "docker": docker_engine.settings,
        "buildah": {"image": "no:1", "preferred": True},
    }
    builder = BuildahBuilder(TestKernel(tmp_path, wanted))
    assert (await builder.detect(place)).score > detect(place).score
    check = await builder.check()
    assert check.ok
    assert "the image no:1 is not there" in check.reason
