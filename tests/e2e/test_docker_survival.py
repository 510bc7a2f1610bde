"""Parts die while services run in containers: nothing is lost, and the old version goes on."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest

from tests.docker_engine import running_engine
from tests.registry.server import registry_with_password

from .disks import small_disk
from .harness import Cluster, until
from .killing import Requests, open_deployments, rows
from .world import World, world_settings

pytestmark = [pytest.mark.e2e, pytest.mark.long, pytest.mark.timeout(600)]

NAMES = ["built", "started", "switched"]
PLACES = ["build:built", "start:started", "activate:switched"]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    home = tmp_path_factory.mktemp("docker") / "home"
    with running_engine() as engine, registry_with_password() as registry:
        settings = world_settings(engine, registry)
        settings |= {"HELVETIA_FAILPOINT": f"@{home.parent / 'places'}", "HELVETIA_WORKERS": "4"}
        world = World(Cluster(home, **settings), engine, registry)
        try:
            world.platform.start_web()
            world.platform.start("worker")
            world.commit("v1")
            world.begin(NAMES, "v1")
            yield world
        finally:
            world.platform.tear_down()


def test_worker_and_control_plane_are_killed(world: World) -> None:
    """The worker dies at three places at once, the control plane after it."""
    platform = world.platform
    web, worker = platform.parts
    world.commit("v2")
    places = platform.home.parent / "places"
    places.write_text(" ".join(PLACES))
    with Requests(platform, *NAMES).running() as requests:
        world.deploy(*NAMES, live="v2")
        assert worker.wait(120) == -signal.SIGKILL
        assert len(open_deployments(platform)) == len(NAMES)
        requests.await_more(5)
        web.kill()
        web.wait()
        requests.await_more(5)
        platform.parts.clear()
        places.write_text("")
        platform.start_web()
        platform.start("worker")
        world.await_rest()
    assert {version for _, version in requests.answers} == {"v1", "v2"}


def test_the_engine_is_killed(world: World) -> None:
    """Nobody can tell then what runs; afterwards the same containers are adopted."""
    before = {row["id"] for row in rows(world.platform, "SELECT id FROM instance")}
    world.engine.kill()
    try:
        until(
            "it is told",
            lambda: "does not answer" in world.platform.service(NAMES[0])["status_reason"],
        )
        world.commit("v3")
        world.deploy(NAMES[0])
        failed = until(
            "the deployment ends",
            lambda: (one := world.newest(NAMES[0]))["status"] not in ("QUEUED", "RUNNING") and one,
            seconds=60,
        )
        assert failed["status"] == "FAILED"
        # And no other builder steps in, although there is an `index.html`.
        assert "Docker engine" in failed["reason"]
    finally:
        world.engine.start()

    def is_back() -> bool:
        return not [fault for fault in world.faults() if "deployment" not in fault]

    until("all is back", is_back, seconds=60)
    assert {row["id"] for row in rows(world.platform, "SELECT id FROM instance")} == before
    assert {name: world.answer(name) for name in NAMES} == world.live
    world.deploy(NAMES[0], live="v3")
    world.await_rest()


def test_the_registry_dies_in_the_middle_of_a_push(world: World) -> None:
    name = NAMES[1]
    world.commit_noise("v4", 64)  # so large that it takes a moment
    with Requests(world.platform, *NAMES).running():
        world.deploy(name)
        until("a layer is uploaded", world.registry.uploads, seconds=120)
        world.registry.kill()
        failed = world.await_end(name, seconds=60)
        assert (failed["status"], failed["failed_stage"]) == ("FAILED", "push")
        assert world.registry.url.removeprefix("http://") in failed["reason"]
        assert world.answer(name) == world.live[name]
        world.registry.start()
        (world.repository.folder / "noise").unlink()
        world.commit("v5")
        world.deploy(name, live="v5")
        world.await_rest()


def test_the_disk_is_full(world: World) -> None:
    name = NAMES[2]
    world.commit_noise("v6", 8)
    with Requests(world.platform, *NAMES).running():
        with small_disk(world.platform.home / "registry", 4):
            world.deploy(name)
            failed = world.await_end(name, seconds=120)
            assert (failed["status"], failed["failed_stage"]) == ("FAILED", "push")
            assert "no space left" in failed["reason"]
            assert world.answer(name) == world.live[name]
        (world.repository.folder / "noise").unlink()
        world.commit("v7")
        world.deploy(name, live="v7")
        world.await_rest()
