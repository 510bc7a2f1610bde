"""The engine of a build may wait for the next one of its service: never for another's."""

from __future__ import annotations

import asyncio
import dataclasses
import time
from uuid import uuid4

import pytest

from helvetia import Builder, BuildFailed
from helvetia.plugins.builders.docker import warm
from helvetia.plugins.builders.docker.builder import DockerBuilder
from tests.docker_engine import DockerEngine

from .conftest import Lines, Workshop, lay
from .docker_building import Make, caches, everything, files

SECRETS = "RUN ls -A /proc/1/root/run/build-secrets; echo looked"


def running(engine: DockerEngine, installation: str, service: str = "") -> list[str]:
    mine = ["--filter", f"label=helvetia.installation={installation}"]
    theirs = ["--filter", f"label=helvetia.service={service}"] if service else []
    return engine("ps", "-q", "--no-trunc", *mine, *theirs).split()


async def gone(engine: DockerEngine, installation: str, seconds: float = 15) -> None:
    async with asyncio.timeout(seconds):
        while await asyncio.to_thread(everything, engine, installation):
            await asyncio.sleep(0.05)


def memory(engine: DockerEngine, container: str) -> int:
    return int(engine("inspect", "--format", "{{.HostConfig.Memory}}", container)) // 2**20


async def build_for(
    service: str, workshop: Workshop, builder: Builder, *steps: str, **environment: str
) -> Lines:
    context, log = workshop.context(environment=environment)
    lay(context.checkout, files(*steps))
    await builder.build(dataclasses.replace(context, service_id=service))
    return log


@pytest.mark.long
async def test_the_next_build_finds_it_with_its_layers_and_nothing_else(
    make: Make,
    workshop: Workshop,
    docker_engine: DockerEngine,
    installation: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    builder = make(warm_seconds=60, memory_mb=1024)
    monkeypatch.setattr(warm, "SHRINK_AFTER_SECONDS", 0)
    began = time.monotonic()
    read = "RUN --mount=type=secret,id=TOKEN wc -c < /run/secrets/TOKEN"
    log = await build_for("s1", workshop, builder, read, TOKEN="s3cr3t-of-the-first", LEFT="left")
    cold = time.monotonic() - began
    assert "  19\n" in log.output.decode()
    (first,) = running(docker_engine, installation)
    async with asyncio.timeout(30):
        while await asyncio.to_thread(memory, docker_engine, first) != 256:
            await asyncio.sleep(0.05)
    # Neither the files nor the secrets of the build wait with it.
    assert docker_engine("exec", first, "sh", "-c", "ls -d /context /recipe || ls -A /run").split(
    )[-1] != "build-secrets"  # fmt: skip
    assert "build-secrets" not in docker_engine("exec", first, "ls", "-A", "/run")

    began = time.monotonic()
    log = await build_for("s1", workshop, builder, read, TOKEN="s3cr3t-2")
    again = time.monotonic() - began
    assert running(docker_engine, installation) == [first]
    assert again < cold * 0.7
    # A secret that this build does not have is not there any more.
    wanted = "RUN --mount=type=secret,id=LEFT,required=true cat /run/secrets/LEFT"
    with pytest.raises(BuildFailed, match="LEFT"):
        await build_for("s1", workshop, builder, wanted, TOKEN="s3cr3t-2")
    # What failed is not used again.
    assert not running(docker_engine, installation)
    await build_for("s1", workshop, builder)
    (second,) = running(docker_engine, installation)
    assert second != first
    # Other limits, another engine.
    context, _ = workshop.context()
    lay(context.checkout, files())
    limits = dataclasses.replace(context.limits, memory_mb=1500)
    await builder.build(dataclasses.replace(context, limits=limits))
    (third,) = running(docker_engine, installation)
    assert third != second
    await builder.close()
    assert not everything(docker_engine, installation)


async def test_services_share_nothing_and_few_wait(
    make: Make, workshop: Workshop, docker_engine: DockerEngine, installation: str
) -> None:
    builder = make(warm_seconds=60, warm_builders=2)
    for service in ("s1", "s2", "s3"):
        log = await build_for(service, workshop, builder, "RUN echo same")
        assert "from the cache" not in log.text
    async with asyncio.timeout(15):
        while len(running(docker_engine, installation)) > 2:
            await asyncio.sleep(0.05)
    assert not running(docker_engine, installation, "s1")
    assert len(caches(docker_engine, installation)) == 3
    # A service that is deleted leaves nothing; the others keep theirs.
    assert await builder.forget("s2") > 2**20
    assert not running(docker_engine, installation, "s2")
    assert len(running(docker_engine, installation, "s3")) == 1
    assert len(caches(docker_engine, installation)) == 2
    assert await builder.forget("s2") == 0
    log = await build_for("s2", workshop, builder, "RUN echo same")
    assert "from the cache" not in log.text


@pytest.mark.long
async def test_it_ends_when_nobody_needs_it(
    make: Make, workshop: Workshop, docker_engine: DockerEngine, installation: str
) -> None:
    builder = make(warm_seconds=0.5)
    await build_for("s1", workshop, builder)
    await gone(docker_engine, installation)
    # Another worker builds: the engine that waits here gives way with its disk.
    here, there = make(warm_seconds=60), make(warm_seconds=60)
    await build_for("s1", workshop, here, "RUN echo one")
    log = await build_for("s1", workshop, there, "RUN echo one")
    assert "from the cache" in log.text
    assert len(running(docker_engine, installation)) == 1
    log = await build_for("s1", workshop, here, "RUN echo one")
    assert "from the cache" in log.text
    # Its engine is killed while it waits: the next build has a new one.
    (container,) = running(docker_engine, installation)
    docker_engine("exec", container, "sh", "-c", "kill -9 $(cat /run/docker.pid)")
    await gone(docker_engine, installation)
    await build_for("s1", workshop, here, "RUN echo one")


async def test_cancelling_a_build_in_it(
    make: Make, workshop: Workshop, docker_engine: DockerEngine, installation: str
) -> None:
    builder = make(warm_seconds=60)
    await build_for("s1", workshop, builder)
    assert running(docker_engine, installation)
    context, log = workshop.context()
    lay(context.checkout, files("RUN echo hanging; sleep 600"))
    task = asyncio.create_task(builder.build(context))
    async with asyncio.timeout(40):
        while "  hanging" not in log.output.decode():
            assert not task.done(), task.result()
            await asyncio.sleep(0.02)
    began = time.monotonic()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert time.monotonic() - began < 5
    assert not everything(docker_engine, installation)


@pytest.mark.long
async def test_the_collector_takes_ours_and_nothing_else(
    make: Make,
    workshop: Workshop,
    docker_engine: DockerEngine,
    installation: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    image = docker_engine.busybox()
    other = uuid4().hex[:12]
    theirs = {
        "ps": docker_engine("run", "-d", image, "sleep", "600"),
        "another installation's": docker_engine("create", *labels(other), image, "sleep", "600"),
    }
    volume = docker_engine("volume", "create", f"foreign-{other}")
    network = docker_engine("network", "create", f"foreign-{other}")

    ended = docker_engine("create", *labels(installation), image, "sleep", "0")
    docker_engine("start", "--attach", ended)
    starting = docker_engine("create", *labels(installation), image, "sleep", "600")
    builder = make(warm_seconds=60)
    await build_for("s1", workshop, builder)
    try:
        await builder.collect({"s1"})
        assert ended not in docker_engine("ps", "-aq", "--no-trunc").split()
        # Nobody can tell yet whether somebody is about to start it; clocks are not asked.
        assert starting in docker_engine("ps", "-aq", "--no-trunc").split()
        for id in builder.work.objects._seen:
            builder.work.objects._seen[id] -= 700
        await builder.collect({"s1"})
        assert starting not in docker_engine("ps", "-aq", "--no-trunc").split()
        # A cache so young may be of a service that is being made.
        await builder.collect(set())
        assert len(caches(docker_engine, installation)) == 1
        age(builder, monkeypatch)
        await builder.collect({"s1"})
        assert len(caches(docker_engine, installation)) == 1
        await builder.collect(set())
        assert not caches(docker_engine, installation)
        assert not running(docker_engine, installation, "s1")
        here = docker_engine("ps", "-aq", "--no-trunc").split()
        assert {*theirs.values()} <= {*here}
        assert volume in docker_engine("volume", "ls", "-q").split()
        assert network in docker_engine("network", "ls", "-q", "--no-trunc").split()
    finally:
        docker_engine("rm", "--force", *theirs.values())
        docker_engine("volume", "rm", volume)
        docker_engine("network", "rm", network)


@pytest.mark.long
@pytest.mark.timeout(300)
async def test_all_caches_together_are_bounded(
    make: Make, workshop: Workshop, docker_engine: DockerEngine, installation: str
) -> None:
    builder = make(warm_seconds=60)
    for service in ("s1", "s2", "s3"):
        await build_for(service, workshop, builder, "RUN dd if=/dev/urandom of=/b bs=1M count=20")
    foreign = docker_engine("volume", "create", f"foreign-{uuid4().hex[:12]}")
    image = await builder.work.image.find()
    assert image
    kept = {name: service for name, service, _ in await builder.work.objects.caches()}
    uses = await builder.work.objects.uses(list(kept), image)
    assert all(20 < use.megabytes < 200 for use in uses)
    assert [kept[use.name] for use in sorted(uses, key=lambda use: use.since)] == ["s1", "s2", "s3"]
    few = make(caches_mb=sum(use.megabytes for use in uses) - 5)
    await few.collect({*kept.values()})
    assert {service for _, service, _ in await builder.work.objects.caches()} == {"s2", "s3"}
    # One that is in use stays, and the next one goes in its place.
    fewer = make(caches_mb=30)
    await fewer.collect({"s2", "s3"})
    assert {service for _, service, _ in await builder.work.objects.caches()} == {"s2", "s3"}
    await builder.close()
    await make(caches_mb=30).collect({"s2", "s3"})
    assert len(caches(docker_engine, installation)) < 2
    assert foreign in docker_engine("volume", "ls", "-q").split()
    docker_engine("volume", "rm", foreign)


async def test_images_of_former_recipes_go(
    make: Make, docker_engine: DockerEngine, installation: str
) -> None:
    def image(tag: str, owner: str, recipe: str = "") -> str:
        marks = [f"LABEL helvetia.installation={owner} helvetia.kind=builder helvetia.service="]
        marks += [f"LABEL helvetia.recipe={recipe}"] if recipe else []
        name = f"helvetia/builder:{tag}"
        docker_engine.import_image(name, {"tag": tag}, *marks)
        return name

    mine, other = "helvetia.plugins.builders.docker", uuid4().hex[:12]
    former = [image("former1", installation), image("former2", installation, mine)]
    builder = make(image="")
    present = image(builder.work.image._recipe()[1].partition(":")[2], installation, mine)
    theirs = [image("theirs", other, mine), image("buildahs", installation, "another")]
    busy = image("busy", installation, mine)
    container = docker_engine("create", busy, "x")
    await builder.collect(set())
    names = docker_engine("images", "--format", "{{.Repository}}:{{.Tag}}").split()
    assert not {*former} & {*names}
    assert {present, busy, *theirs} <= {*names}
    docker_engine("rm", container)
    await builder.collect(set())
    assert busy not in docker_engine("images", "--format", "{{.Repository}}:{{.Tag}}").split()
    docker_engine("image", "rm", present, *theirs)


@pytest.mark.long
async def test_it_ends_by_itself_in_the_end(
    make: Make, workshop: Workshop, docker_engine: DockerEngine, installation: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """A platform may die so that the engine does not hear of it; no clock is asked then."""
    monkeypatch.setattr("helvetia.plugins.builders.docker.container._LIFE_SECONDS", -60)
    builder = make(warm_seconds=600, seconds=40)
    await build_for("s1", workshop, builder)
    assert running(docker_engine, installation)
    await gone(docker_engine, installation, 60)


def labels(installation: str) -> list[str]:
    """Return the options that make a container look like a builder of an installation."""
    given = {"installation": installation, "kind": "builder", "service": "s9"}
    return [
        word for name, value in given.items() for word in ("--label", f"helvetia.{name}={value}")
    ]


def age(builder: DockerBuilder, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let what is there be old to a builder, as if ten minutes had gone by."""
    seen = builder.work.objects.caches

    async def older(service_id: str = "") -> list[tuple[str, str, float]]:
        return [(name, service, made - 3600) for name, service, made in await seen(service_id)]

    monkeypatch.setattr(builder.work.objects, "caches", older)
