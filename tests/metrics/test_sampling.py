"""The sampler over real tables and the real runtime, and over providers that misbehave."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from helvetia import (
    DIRECTORY,
    Artifact,
    ArtifactReference,
    InstanceSpec,
    Meter,
    ResourceLimits,
    Stats,
)
from helvetia.kernel.models import (
    Deployment,
    Event,
    Instance,
    InstanceStatus,
    Release,
    Service,
    Trigger,
)
from helvetia.kernel.platform import Platform
from helvetia.kernel.providers import Entry
from helvetia.plugins.metrics import rings, views
from helvetia.plugins.metrics.listening import Measuring
from helvetia.plugins.metrics.models import Chunk
from helvetia.plugins.metrics.sampling import Sampler
from helvetia.plugins.routers.traefik.router import TraefikRouter
from helvetia.plugins.runtimes.process.runtime import ProcessRuntime

BUSY = "import time\nwhile True:\n  sum(range(10000)); time.sleep(0.001)\n"


@pytest.fixture
async def release(service: Service) -> Release:
    deployment = await Deployment.create(
        service=service, number=1, trigger=Trigger.MANUAL, source_url=""
    )
    return await Release.create(
        service=service,
        number=1,
        deployment_id=deployment.id,
        artifact={},
        configuration={},
        environment_version=0,
        providers={},
    )


async def live(service: Service, release: Release, id: str, runtime: str = "process") -> None:
    await Instance.create(
        id=id, service=service, release=release, runtime=runtime, status=InstanceStatus.LIVE
    )


class FixedRuntime(ProcessRuntime):
    """Gives what a test says."""

    name = "fixed"
    answer: Callable[[str], Any] = staticmethod(lambda id: None)

    async def stats(self, instance_id: str) -> Stats | None:
        found: Stats | None = await self.answer(instance_id)
        return found


class FixedRouter(TraefikRouter):
    name = "fixed"
    preference = 99
    counted: Mapping[tuple[str, str], Meter] = {}

    async def meters(self) -> Mapping[tuple[str, str], Meter]:
        return self.counted


@pytest.fixture
def router(platform: Platform) -> FixedRouter:
    one = FixedRouter(platform)
    platform.providers.routers.add(Entry(one, "tests"))
    return one


@pytest.fixture
def sampler(platform: Platform, router: FixedRouter) -> Sampler:
    return Sampler(platform, 1)


async def test_a_real_process_is_measured(
    platform: Platform, service: Service, release: Release, sampler: Sampler, tmp_path: Path
) -> None:
    folder = tmp_path / "artifact"
    folder.mkdir()
    processes = {"web": ["{python}", "-c", BUSY]}
    artifact = Artifact(kind=DIRECTORY, location=str(folder), processes=processes)
    reference = ArtifactReference(registry="r", digest="d", bytes=1, artifact=artifact)
    spec = InstanceSpec(
        id="one",
        service_id=service.id,
        service_name="web",
        release_id=release.id,
        artifact=reference,
        limits=ResourceLimits(),
    )
    runtime = platform.providers.runtimes.get("process").provider
    await runtime.start(spec)
    try:
        await live(service, release, "one")
        await sampler.look()
        async with asyncio.timeout(30):
            while True:
                await asyncio.sleep(0.1)
                await sampler.look()
                await sampler.write()
                points = (await views.series(service.id, "hour")).points
                if points and (points[-1].cpu or 0) > 0.05:
                    break
        assert (points[-1].memory_bytes or 0) > 1_000_000
        assert points[-1].processes == 1
        assert points[-1].received_per_second is None, "the runtime cannot know it"
    finally:
        await runtime.stop("one", 0)
        await runtime.remove("one")


def stats(cpu: float, restarts: int = 0, received: int | None = None) -> Stats:
    return Stats(
        cpu_seconds=cpu,
        memory_bytes=100,
        processes=2,
        restarts=restarts,
        received_bytes=received,
        sent_bytes=received,
    )


async def test_counters_that_begin_again_count_what_they_show(
    platform: Platform, service: Service, release: Release, sampler: Sampler, router: FixedRouter
) -> None:
    runtime = FixedRuntime(platform)
    platform.providers.runtimes.add(Entry(runtime, "tests"))
    await live(service, release, "a", "fixed")
    await live(service, release, "b", "fixed")
    given: dict[str, Stats] = {}

    async def answer(id: str) -> Stats | None:
        return given.get(id)

    runtime.answer = answer  # type: ignore[method-assign]
    key = (service.id, release.id)
    given |= {"a": stats(10, 1, 1000), "b": stats(20)}
    router.counted = {key: Meter(statuses={2: 100, 5: 3}, seconds={0.1: 100, 5.0: 3})}
    await sampler.look()
    given |= {"a": stats(12, 2, 1500), "b": stats(1)}
    router.counted = {
        key: Meter(statuses={2: 110, 5: 3}, seconds={0.1: 110, 5.0: 3}),
        (service.id, "another"): Meter(statuses={4: 7}, seconds={0.1: 7}),
        ("stranger", "x"): Meter(statuses={4: 99}, seconds={0.1: 99}),
    }
    await sampler.look()
    router.counted = {key: Meter(statuses={2: 4}, seconds={0.1: 4})}  # the proxy began again
    await sampler.look()
    await sampler.write()
    points = (await views.series(service.id, "hour")).points
    found = await rings.read([service.id], rings.RESOLUTIONS[2], since=0)
    [total] = found[service.id].values()
    assert total[1] == pytest.approx(2 + 1), "of CPU"
    assert points[-1].memory_bytes == 200, "of both instances"
    assert sum(one.restarts or 0 for one in points) == 1
    assert total[4] == pytest.approx(500), "bytes that came"
    counted = [one.statuses for one in points if one.statuses]
    assert sum(one["2xx"] for one in counted) == 14
    assert sum(one["4xx"] for one in counted) == 7
    assert sum(one["5xx"] for one in counted) == 0
    assert set(found) == {service.id}


async def no_stats(id: str) -> None:
    return None


async def broken(id: str) -> None:
    raise ValueError("no idea")


async def hanging(id: str) -> None:
    await asyncio.sleep(600)


async def nonsense(id: str) -> object:
    return replace(stats(1), cpu_seconds="much")  # type: ignore[arg-type]


@pytest.mark.parametrize("answer", [no_stats, broken, hanging, nonsense])
async def test_a_runtime_that_cannot_tell_does_no_harm(
    platform: Platform,
    service: Service,
    release: Release,
    sampler: Sampler,
    answer: Callable[[str], Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("helvetia.plugins.metrics.sampling._ASK_SECONDS", 0.2)
    asked = 0

    async def counted(id: str) -> Any:
        nonlocal asked
        asked += 1
        return await answer(id)

    bad, good = FixedRuntime(platform), FixedRuntime(platform)
    bad.name = "bad"
    bad.answer = counted  # type: ignore[method-assign]

    async def fine(id: str) -> Stats:
        return stats(5)

    good.answer = fine  # type: ignore[method-assign]
    platform.providers.runtimes.add(Entry(bad, "tests"))
    platform.providers.runtimes.add(Entry(good, "tests"))
    other = await Service.create(team_id=service.team_id, name="other", source_url="/nowhere")
    for number in range(20):
        await live(service, release, f"bad{number}", "bad")
    await live(other, release, "good", "fixed")
    async with asyncio.timeout(5):
        for _ in range(4):
            await sampler.look()
        await sampler.write()
    points = (await views.series(other.id, "hour")).points
    assert points[-1].memory_bytes == 100
    [mine] = (await views.series(service.id, "week")).points
    assert (mine.cpu, mine.memory_bytes) == (None, None)
    if answer is not no_stats:
        assert asked <= 20, "it is asked again later only"


async def test_one_process_at_a_time_measures(platform: Platform, service: Service) -> None:
    one, two = Sampler(platform, 1), Sampler(platform, 1)
    assert await one._has_duty()
    platform.worker = "another:1"
    assert not await two._has_duty()


async def test_it_begins_with_the_worker_and_forgets_what_is_gone(
    platform: Platform, service: Service, router: FixedRouter
) -> None:
    measuring = Measuring(platform)
    pending: rings.Pending = {}
    rings.note(pending, service.id, 0, [1.0] * 20)
    rings.note(pending, "gone", 0, [1.0] * 20)
    await rings.write(pending, list(pending))
    await measuring.tidy()
    assert await Chunk.exclude(service_id=service.id).count() == 0
    row = await Event.create(kind="service.deleted", service_id=service.id)
    from helvetia import Event as Told

    await measuring.on_event(Told(kind=row.kind, time=row.created_at, service_id=service.id))
    assert await Chunk.all().count() == 0
    await measuring._sampler.stop()
