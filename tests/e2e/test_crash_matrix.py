"""The platform is killed at every place where it matters; services never notice.

A place holds the first that comes to it, and at the last of the chosen places the process dies:
one kill meets as many deployments, each at a place of its own.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from helvetia.kernel.pipeline.planning import BUILD_STAGES

from .harness import Cluster, until
from .killing import (
    PLACES,
    App,
    Requests,
    await_killed,
    await_tidy,
    instance_processes,
    kill_everything,
    open_deployments,
    rows,
)

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

NAMES = [f"s{number:02}" for number in range(len(PLACES))]


class World:
    """One service for each place, all from one repository, and the file that names the places."""

    def __init__(self, home: Path) -> None:
        self.platform = Cluster(home, HELVETIA_WORKERS="64")
        self.app = App(home.parent / "repository", "all")
        self._places = home.parent / "places"

    def create(self, name: str, replicas: int = 1) -> None:
        settings = {"health": {"interval_seconds": 0.1}, "replicas": replicas}
        body = {"name": name, "source": str(self.app.repository.folder), "settings": settings}
        self.platform.api("POST", "services", body)

    def up(self) -> None:
        """Run control plane and worker in one process, which comes to no place yet."""
        self._places.unlink(missing_ok=True)
        self.platform.up(HELVETIA_FAILPOINT=f"@{self._places}")

    def arm(self, places: Sequence[str]) -> None:
        self._places.write_text(" ".join(places))

    def start_worker(self) -> Any:
        return self.platform.start("worker", HELVETIA_FAILPOINT=f"@{self._places}")

    def deploy(self, *names: str, action: str = "deploy") -> None:
        for name in names:
            self.ask("POST", f"services/{name}/deployments", {"action": action})

    def ask(self, method: str, path: str, body: object = None) -> None:
        """Ask for something; the control plane may die of it."""
        with contextlib.suppress(OSError, http.client.HTTPException, AssertionError):
            self.platform.api(method, path, body or {})

    def newest(self, name: str) -> dict[str, Any]:
        query = (
            "SELECT d.* FROM deployment d JOIN service s ON s.id = d.service_id"
            " WHERE s.name = ? ORDER BY d.number DESC LIMIT 1"
        )
        return rows(self.platform, query, name)[0]

    def await_end(self) -> None:
        """Wait until every deployment has ended and nothing is left."""
        until("all has ended", lambda: not open_deployments(self.platform), seconds=120)
        await_tidy(self.platform, seconds=30)

    def change(self, statement: str) -> None:
        """Change the database while nobody else has it open."""
        with contextlib.closing(sqlite3.connect(self.platform.home / "helvetia.db")) as database:
            database.execute(statement)
            database.commit()

    def answer(self, name: str) -> str:
        return self.platform.get(f"{name}.localhost")[1].decode()

    def assert_live(self, names: Sequence[str], number: int, version: str) -> None:
        for name in names:
            last = self.newest(name)
            assert (last["number"], last["status"]) == (number, "LIVE"), last["reason"]
            assert self.answer(name) == version


@pytest.fixture(scope="module")
def shared_world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    world = World(tmp_path_factory.mktemp("matrix") / "home")
    try:
        world.platform.start_web()
        world.start_worker()
        world.app.commit("v1")
        for name in NAMES:
            world.create(name)
        world.deploy(*NAMES)
        world.await_end()
        yield world
    finally:
        world.platform.tear_down()


@pytest.fixture
def world(shared_world: World) -> World:
    """The world, at rest, in one process."""
    platform = shared_world.platform
    platform.end_parts()
    if platform.process is None or platform.process.poll() is not None:
        shared_world.up()
    await_tidy(platform)
    return shared_world


def test_the_worker_alone_is_killed_at_every_place(shared_world: World) -> None:
    world, platform = shared_world, shared_world.platform
    web, worker = platform.parts
    world.app.commit("v2")
    world.arm(PLACES)
    with Requests(platform, *NAMES).running() as requests:
        world.deploy(*NAMES)
        assert worker.wait(200) == -signal.SIGKILL
        assert len(open_deployments(platform)) == len(PLACES) - 1, "all but the finished one"
        requests.await_more(3)
        assert platform.get_control("/readyz") == 200
        assert web.poll() is None
        world.arm([])
        world.start_worker()
        world.await_end()
    world.assert_live(NAMES, 2, "v2")
    assert {version for _, version in requests.answers} == {"v1", "v2"}


def test_the_power_fails_at_every_place(world: World) -> None:
    world.app.commit("v3")
    world.arm(PLACES)
    # A restart is a rollover without a build: enough for the places behind it.
    builds = sum(place.partition(":")[0] in BUILD_STAGES for place in PLACES) + 1
    world.deploy(*NAMES[:builds])
    world.deploy(*NAMES[builds:], action="restart")
    await_killed(world.platform, seconds=60)
    kill_everything(world.platform)
    assert instance_processes(world.platform) == []

    world.up()

    world.await_end()
    world.assert_live(NAMES[:builds], 3, "v3")
    world.assert_live(NAMES[builds:], 3, "v2")


@pytest.mark.parametrize("place", ["enqueue:inside", "enqueue:after"])
def test_killed_while_a_deployment_is_asked_for(world: World, place: str) -> None:
    name = NAMES[0]
    before, old = world.newest(name)["number"], world.answer(name)
    world.app.commit(place)
    with Requests(world.platform, name).running():
        world.arm([place])
        world.deploy(name)
        await_killed(world.platform)
        world.up()
        world.await_end()
    if place == "enqueue:inside":
        assert (world.newest(name)["number"], world.answer(name)) == (before, old)
    else:
        world.assert_live([name], before + 1, place)


def test_called_off_after_a_death_in_the_switch(world: World) -> None:
    """The route leads to the new version in both; only what was committed counts."""
    names, old = NAMES[1:3], world.answer(NAMES[1])
    world.app.commit("called off")
    with Requests(world.platform, *names).running():
        world.arm(["activate:switched", "activate:after"])
        world.deploy(*names)
        await_killed(world.platform)
        live = {row["id"] for row in rows(world.platform, "SELECT id FROM instance"
                                          " WHERE status = 'live'")}  # fmt: skip
        committed = [name for name in names if world.newest(name)["id"] in live]
        world.change("UPDATE deployment SET cancel_requested = 1 WHERE status = 'RUNNING'")
        world.up()
        world.await_end()
    assert len(committed) == 1
    for name in names:
        expected = ("LIVE", "called off") if name in committed else ("CANCELLED", old)
        assert (world.newest(name)["status"], world.answer(name)) == expected


def test_the_first_deployment_dies_in_the_switch_and_is_called_off(world: World) -> None:
    world.create("never-live")
    world.app.commit("first")
    world.arm(["activate:switched"])
    world.deploy("never-live")
    await_killed(world.platform)
    assert world.answer("never-live") == "first"
    world.change("UPDATE deployment SET cancel_requested = 1 WHERE status = 'RUNNING'")

    world.up()

    world.await_end()
    assert world.newest("never-live")["status"] == "CANCELLED"
    assert world.platform.get("never-live.localhost")[0] == 404


def test_a_worker_that_always_dies_at_the_same_places(world: World) -> None:
    names, old = NAMES[4:7], world.answer(NAMES[4])
    world.app.commit("dies")
    with Requests(world.platform, *names).running():
        world.arm(places := ["start:started", "activate:switched", "drain:begun"])
        world.deploy(*names)
        await_killed(world.platform)
        for _ in range(2):
            world.platform.begin_up(HELVETIA_FAILPOINT=" ".join(places))
            await_killed(world.platform)
        world.up()
        world.await_end()
    ends = sorted((world.newest(name)["status"], world.answer(name)) for name in names)
    assert ends == [("FAILED", old), ("FAILED", old), ("LIVE", "dies")]
    reasons = [world.newest(name)["reason"] for name in names]
    assert sum("died 3 times" in reason for reason in reasons) == 2


@pytest.mark.parametrize("place", ["start:row", "start:started", "remove:removed"])
def test_killed_between_two_instances_of_a_release(world: World, place: str) -> None:
    name = f"many-{place.replace(':', '-')}"
    world.create(name, replicas=3)
    world.app.commit(f"{place} one")
    world.deploy(name)
    world.await_end()
    world.app.commit(f"{place} two")
    with Requests(world.platform, name).running():
        world.arm([place])
        world.deploy(name)
        await_killed(world.platform)
        world.up()
        world.await_end()
    world.assert_live([name], 2, f"{place} two")


def test_killed_while_instances_are_brought_back(world: World) -> None:
    names = NAMES[7:10]
    old = [world.answer(name) for name in names]
    world.arm(["restore:started", "activate:switched", "restore:switched"])
    for name in names:
        (live,) = world.platform.service(name)["instances"]
        os.kill(world.platform.supervised(live["id"])["shim_pid"], signal.SIGKILL)
    await_killed(world.platform)

    world.up()

    await_tidy(world.platform)
    assert [world.answer(name) for name in names] == old


def test_killed_while_services_are_stopped(world: World) -> None:
    names = NAMES[10:13]
    old = world.answer(names[0])
    world.arm(["stop:retired", "remove:stopped", "stop:stopped"])
    for name in names:
        world.ask("POST", f"services/{name}/stop")
    await_killed(world.platform)

    world.up()

    await_tidy(world.platform)
    for name in names:
        service = world.platform.service(name)
        assert (service["status"], service["instances"]) == ("STOPPED", [])
    world.platform.run("start", names[0])
    assert world.answer(names[0]) == old


def test_killed_while_services_are_deleted(world: World) -> None:
    names = NAMES[13:17]
    ids = [world.platform.service(name)["id"] for name in names]
    world.arm(["stop:retired", "remove:removed", "delete:artifacts", "delete:logs"])
    for name in names:
        world.ask("DELETE", f"services/{name}")
    await_killed(world.platform)

    world.up()

    def left() -> list[Any]:
        return [
            one for one in ids if rows(world.platform, "SELECT * FROM service WHERE id = ?", one)
        ]

    until("the services are gone", lambda: not left())
    await_tidy(world.platform)
    for one in ids:
        assert not (world.platform.home / "artifacts" / one).exists()
        assert not rows(world.platform, "SELECT log FROM log_segment WHERE log LIKE ?",
                        f"service:{one}%")  # fmt: skip
