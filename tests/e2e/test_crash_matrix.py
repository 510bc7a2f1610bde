"""The control plane is killed at every place where it matters; services never notice."""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from helvetia.kernel.pipeline.planning import KERNEL_STAGES

from .harness import Installation, until
from .killing import (
    App,
    Requests,
    await_killed,
    await_tidy,
    kill_everything,
    rows,
)

pytestmark = pytest.mark.e2e

BOUNDARIES = [f"{stage}:{when}" for stage in KERNEL_STAGES for when in ("before", "after")]
INSIDE = [
    "enqueue:inside",
    "enqueue:after",
    "claim:after",
    "fetch:resolved",
    "fetch:checked-out",
    "build:built",
    "push:pushed",
    "start:row",
    "start:started",
    "probe:probed",
    "activate:generation",
    "activate:switched",
    "drain:begun",
    "remove:stopped",
    "remove:removed",
    "finish:before",
    "finish:after",
]
POWER_CUTS = [
    "build:built",
    "start:started",
    "activate:switched",
    "activate:after",
    "remove:stopped",
]


class World:
    """The platform, one service, and the file that names the failpoint."""

    def __init__(self, platform: Installation, app: App, chosen: Path) -> None:
        self.platform = platform
        self.app = app
        self._chosen = chosen

    def up(self) -> None:
        self._chosen.unlink(missing_ok=True)
        self.platform.up(HELVETIA_FAILPOINT=f"@{self._chosen}")

    def arm(self, place: str) -> None:
        self._chosen.write_text(place)

    def ask(self, method: str, path: str) -> None:
        """Ask for something; the control plane may die of it."""
        with contextlib.suppress(OSError, http.client.HTTPException, AssertionError):
            self.platform.api(method, f"services/{self.app.name}{path}", {})

    def deployments(self) -> list[dict[str, Any]]:
        return rows(
            self.platform,
            "SELECT d.* FROM deployment d JOIN service s ON s.id = d.service_id"
            " WHERE s.name = ? ORDER BY d.number",
            self.app.name,
        )

    def change(self, statement: str) -> None:
        """Change the database while nobody else has it open."""
        with contextlib.closing(sqlite3.connect(self.platform.home / "helvetia.db")) as database:
            database.execute(statement)
            database.commit()

    def answer(self) -> str:
        return self.platform.get(f"{self.app.name}.localhost")[1].decode()


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    installation = Installation(tmp_path_factory.mktemp("matrix") / "home")
    try:
        yield installation
    finally:
        installation.tear_down()


@pytest.fixture(scope="module")
def shared_world(platform: Installation) -> World:
    folder = platform.home.parent
    world = World(platform, App(folder / "repository", "crashed"), folder / "failpoint")
    world.up()
    world.app.commit("first")
    world.app.deploy_first(platform)
    settings = {"settings": {"health": {"interval_seconds": 0.1}}}
    platform.api("PATCH", f"services/{world.app.name}", settings)
    return world


@pytest.fixture
def world(shared_world: World) -> World:
    """The world, at rest."""
    if shared_world.platform.process is None or shared_world.platform.process.poll() is not None:
        shared_world.up()
    await_tidy(shared_world.platform)
    return shared_world


@pytest.mark.parametrize("place", BOUNDARIES + INSIDE)
def test_killed_during_a_deployment(world: World, place: str) -> None:
    before, old = len(world.deployments()), world.answer()
    world.app.commit(place)
    with Requests(world.platform, world.app.name).running() as requests:
        world.arm(place)
        world.ask("POST", "/deployments")
        await_killed(world.platform)
        requests.await_more()
        world.up()
        was_asked = place != "enqueue:inside"
        until("the deployment ends", lambda: ended(world))
        await_tidy(world.platform)
    deployments = world.deployments()
    assert [one["number"] for one in deployments] == list(range(1, before + was_asked + 1))
    if was_asked:
        assert deployments[-1]["status"] == "LIVE", deployments[-1]["reason"]
        assert world.answer() == place
    else:
        assert world.answer() == old
    assert {version for _, version in requests.answers} <= {old, place}


@pytest.mark.parametrize("place", POWER_CUTS)
def test_the_power_fails_during_a_deployment(world: World, place: str) -> None:
    version = f"power cut at {place}"
    world.app.commit(version)
    world.arm(place)
    world.ask("POST", "/deployments")
    await_killed(world.platform)
    kill_everything(world.platform)

    world.up()

    until("the deployment ends", lambda: ended(world))
    await_tidy(world.platform)
    assert world.deployments()[-1]["status"] == "LIVE"
    assert world.answer() == version


@pytest.mark.parametrize("place", ["activate:switched", "activate:after"])
def test_called_off_after_a_death_in_the_switch(world: World, place: str) -> None:
    """The route leads to the new version already, and only for `activate:after` that counts."""
    old, version = world.answer(), f"called off at {place}"
    world.app.commit(version)
    with Requests(world.platform, world.app.name).running():
        world.arm(place)
        world.ask("POST", "/deployments")
        await_killed(world.platform)
        world.change("UPDATE deployment SET cancel_requested = 1 WHERE status = 'RUNNING'")
        world.up()
        until("the deployment ends", lambda: ended(world))
        await_tidy(world.platform)
    status = world.deployments()[-1]["status"]
    expected = ("LIVE", version) if place == "activate:after" else ("CANCELLED", old)
    assert (status, world.answer()) == expected


@pytest.mark.parametrize("place", ["start:started", "activate:switched", "drain:begun"])
def test_a_worker_that_always_dies_at_the_same_place(world: World, place: str) -> None:
    old, version = world.answer(), f"dies at {place}"
    world.app.commit(version)
    with Requests(world.platform, world.app.name).running():
        world.arm(place)
        world.ask("POST", "/deployments")
        await_killed(world.platform)
        for _ in range(2):
            world.platform.begin_up(HELVETIA_FAILPOINT=place)
            await_killed(world.platform)
        world.up()
        until("the deployment ends", lambda: ended(world))
        await_tidy(world.platform)
    last = world.deployments()[-1]
    if place == "drain:begun":
        assert (last["status"], world.answer()) == ("LIVE", version)
    else:
        assert (last["status"], world.answer()) == ("FAILED", old)
        assert "died 3 times" in last["reason"]


def test_the_first_deployment_dies_in_the_switch_and_is_called_off(
    world: World, tmp_path: Path
) -> None:
    app = App(tmp_path / "repository", "never-live")
    app.commit("first")
    body = {"name": app.name, "source": str(app.repository.folder)}
    world.platform.api("POST", "services", body)
    world.arm("activate:switched")
    with contextlib.suppress(OSError, http.client.HTTPException):
        world.platform.api("POST", f"services/{app.name}/deployments", {})
    await_killed(world.platform)
    assert world.platform.get(f"{app.name}.localhost")[1] == b"first"
    world.change("UPDATE deployment SET cancel_requested = 1 WHERE status = 'RUNNING'")

    world.up()

    await_tidy(world.platform)
    (made,) = world.platform.deployments(app.name)
    assert made["status"] == "CANCELLED"
    assert world.platform.get(f"{app.name}.localhost")[0] == 404


@pytest.mark.parametrize("place", ["restore:started", "activate:switched", "restore:switched"])
def test_killed_while_an_instance_is_brought_back(world: World, place: str) -> None:
    old = world.answer()
    (live,) = world.platform.service(world.app.name)["instances"]
    shim = world.platform.supervised(live["id"])["shim_pid"]
    world.arm(place)

    os.kill(shim, signal.SIGKILL)

    await_killed(world.platform)
    world.up()
    await_tidy(world.platform)
    assert world.answer() == old


@pytest.mark.parametrize("place", ["stop:retired", "remove:stopped", "stop:stopped"])
def test_killed_while_a_service_is_stopped(world: World, place: str) -> None:
    old = world.answer()
    world.arm(place)
    world.ask("POST", "/stop")
    await_killed(world.platform)
    world.up()
    await_tidy(world.platform)
    service = world.platform.service(world.app.name)
    assert (service["status"], service["instances"]) == ("STOPPED", [])
    world.platform.run("start", world.app.name)
    assert world.answer() == old


@pytest.mark.parametrize(
    "place", ["stop:retired", "remove:removed", "delete:artifacts", "delete:logs"]
)
def test_killed_while_a_service_is_deleted(world: World, tmp_path: Path, place: str) -> None:
    app = App(tmp_path / "repository", f"gone-{place.replace(':', '-')}")
    app.commit("one")
    app.deploy_first(world.platform)
    service = world.platform.service(app.name)
    world.arm(place)
    with contextlib.suppress(OSError, http.client.HTTPException):
        world.platform.api("DELETE", f"services/{app.name}")
    await_killed(world.platform)

    world.up()

    def is_gone() -> bool:
        return not rows(world.platform, "SELECT id FROM service WHERE id = ?", service["id"])

    until("the service is gone", is_gone)
    await_tidy(world.platform)
    assert not (world.platform.home / "artifacts" / service["id"]).exists()
    assert not rows(world.platform, "SELECT log FROM log_segment WHERE log LIKE ?",
                    f"service:{service['id']}%")  # fmt: skip


def ended(world: World) -> bool:
    return world.deployments()[-1]["status"] not in ("QUEUED", "RUNNING")
