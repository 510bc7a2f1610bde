"""The short form of `python -m bench.rollover`: nobody notices a rollover, whatever befalls it."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from bench.rollover import edge
from bench.rollover.behaviours import BAD, DROPS, GOOD, WELL, Behaviour
from bench.rollover.docker import boxed
from bench.rollover.judging import judge
from bench.rollover.killed import Killed
from bench.rollover.plain import without_drain
from bench.rollover.site import Site
from tests.docker_engine import DockerEngine

from .harness import Installation

pytestmark = pytest.mark.e2e
RATE = 60
# On a busy machine a single request may take its time on its way to the proxy.
MIXED_SECONDS = 0.25


def behaving(name: str) -> Behaviour:
    return next(found for found in (*GOOD, *BAD) if found.name == name)


async def test_versions_of_all_kinds_follow_each_other_unnoticed(platform: Installation) -> None:
    site = Site(platform, "web", drain_seconds=3)
    await asyncio.to_thread(site.create, WELL)
    load = site.load(RATE)
    names = ("crashes at once", "closes its listener", "another address", "ignores SIGTERM",
             "answers 503 first")  # fmt: skip
    async with load.running():
        await asyncio.sleep(0.5)
        rollovers = [await site.redeploy(behaving(name)) for name in names]
        await asyncio.sleep(0.5)

    verdict = judge("", load, rollovers, mixed_seconds=MIXED_SECONDS)
    assert verdict.wrong == []
    live = {rollover.new for rollover in rollovers if rollover.is_live}
    assert set(load.versions()) == {"v0", *live}
    assert len(live) == 3
    assert verdict.ends == {"goodbye": 4, "end of stream": 8}
    kinds = {answer.kind for answer in load.answers}
    assert kinds == {"GET", "POST", "slow GET", "slow POST", "stream", "socket", "held"}
    service = await asyncio.to_thread(platform.service, site.name)
    assert (service["status"], len(service["instances"])) == ("ACTIVE", 1)


@pytest.mark.long
async def test_a_rollover_without_a_drain_is_noticed_and_told(platform: Installation) -> None:
    verdict = await without_drain(platform, 2, rate=RATE)
    assert verdict.failed > 0
    assert verdict.told_failed == verdict.seen_failed > 0


async def test_nobody_notices_that_the_control_plane_dies_in_a_rollover(
    installation: Installation,
) -> None:
    world = Killed(installation)
    await world.up()
    site = world.site()
    await asyncio.to_thread(site.create, DROPS)
    verdict = await world.rollover(
        site, "activate:switched", rate=RATE, mixed_seconds=MIXED_SECONDS
    )
    assert verdict.wrong == []


async def test_only_requests_of_its_gap_fail_when_traefik_dies_in_a_rollover(
    platform: Installation,
) -> None:
    site = edge.new_site(platform)
    await asyncio.to_thread(site.create, DROPS)
    (death,) = (found for found in edge.DEATHS if found.name == "before the switch")
    verdict = await edge.kill(platform, site, death, rate=RATE, mixed_seconds=MIXED_SECONDS)
    assert verdict.wrong == []
    assert verdict.excused > 0


@pytest.mark.long
@pytest.mark.timeout(300)
async def test_nobody_notices_a_rollover_of_containers_whatever_befalls_us_and_traefik(
    docker_engine: DockerEngine, tmp_path: Path
) -> None:
    with boxed(tmp_path, docker_engine) as platform:
        world = Killed(platform)
        await world.up()
        site = Site(platform, "boxed", drain_seconds=2)
        await asyncio.to_thread(site.create, DROPS)
        verdict = await world.rollover(
            site, "activate:switched", rate=RATE, mixed_seconds=MIXED_SECONDS
        )
        assert verdict.wrong == []
        service = platform.service(site.name)["id"]
        assert "@docker" in (platform.home / "traefik/dynamic" / f"{service}.yml").read_text()
        (death,) = (found for found in edge.DEATHS if found.name == "in the drain")
        verdict = await edge.kill(platform, site, death, rate=RATE, mixed_seconds=MIXED_SECONDS)
        assert verdict.wrong == []
        assert verdict.excused > 0
