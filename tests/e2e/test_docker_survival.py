"""Parts die while services run in containers: nothing is lost, and the old version goes on."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.docker_engine import DockerEngine, running_engine
from tests.registry.server import PASSWORD, USER, RegistryServer, registry_with_password

from .boxed import DOCKERFILE, docker_settings, lay_busybox
from .disks import small_disk
from .harness import Cluster, Repository, until
from .killing import Requests, open_deployments, routes, rows, stage_faults

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

NAMES = ["built", "started", "switched"]
PLACES = ["build:built", "start:started", "activate:switched"]
REPLICAS = 2


class World:
    """Three services of two instances each, a registry with a password, an engine of our own."""

    def __init__(self, home: Path, engine: DockerEngine, registry: RegistryServer) -> None:
        self.engine, self.registry = engine, registry
        self.places = home.parent / "places"
        self.platform = Cluster(
            home,
            **docker_settings(engine),
            HELVETIA_REGISTRY_URL=registry.url,
            HELVETIA_REGISTRY_USERNAME=USER,
            HELVETIA_REGISTRY_PASSWORD=PASSWORD,
            HELVETIA_REGISTRY_RETRY_SECONDS="1",
            HELVETIA_FAILPOINT=f"@{self.places}",
            HELVETIA_WORKERS="4",
        )
        self.live: dict[str, str] = {}
        self.repository = Repository(home.parent / "app")
        lay_busybox(self.repository.folder)

    def commit(self, version: str) -> None:
        files = {"Dockerfile": DOCKERFILE, "index.html": version}
        self.repository.commit(version, files)

    def commit_noise(self, version: str, megabytes: int) -> None:
        """Commit a version whose image holds so much that cannot be packed, until the next one."""
        noise = os.urandom(megabytes * 2**20)
        (self.repository.folder / "noise").write_bytes(noise)
        recipe = DOCKERFILE.replace("EXPOSE", "COPY noise /noise\nEXPOSE")
        self.repository.commit(version, {"Dockerfile": recipe, "index.html": version})

    def await_end(self, name: str, *, seconds: float) -> Any:
        """Return the newest deployment of a service once it has ended."""
        return until(
            "the deployment ends",
            lambda: (one := self.newest(name))["status"] not in ("QUEUED", "RUNNING") and one,
            seconds=seconds,
        )

    def create(self, name: str) -> None:
        health = {"path": "/", "interval_seconds": 0.1}
        settings = {"health": health, "replicas": REPLICAS, "drain_seconds": 2}
        body = {"name": name, "source": str(self.repository.folder), "settings": settings}
        self.platform.api("POST", "services", body)

    def deploy(self, *names: str, live: str = "") -> None:
        """Ask for deployments, after which this version should be live."""
        for name in names:
            self.live[name] = live or self.live[name]
            self.platform.api("POST", f"services/{name}/deployments", {})

    def newest(self, name: str) -> Any:
        return self.platform.deployments(name)[0]

    def answer(self, name: str) -> str:
        return self.platform.get(f"{name}.localhost")[1].decode()

    def faults(self) -> list[str]:
        """Return everything that is not as it should be when all is at rest."""
        found = [f"open: {row['id']}" for row in open_deployments(self.platform)]
        found += stage_faults(self.platform)
        known = routes(self.platform)
        instances = rows(self.platform, "SELECT * FROM instance")
        for service in rows(self.platform, "SELECT * FROM service"):
            name, release = service["name"], service["live_release_id"]
            own = [row for row in instances if row["service_id"] == service["id"]]
            if [(row["status"], row["release_id"]) for row in own] != [("live", release)] * 2:
                found.append(f"{name} has the instances {own}")
            backends = known[service["id"]].backends if service["id"] in known else ()
            if {(b.host, b.port) for b in backends} != {(row["host"], row["port"]) for row in own}:
                found.append(f"{name}: route {backends}, instances {own}")
            if (service["status"], service["status_reason"]) != ("ACTIVE", ""):
                found.append(f"{name} is {service['status']}: {service['status_reason']}")
            if service["lease_owner"] is not None:
                found.append(f"{name} is leased by {service['lease_owner']}")
        (fact,) = rows(self.platform, "SELECT value FROM fact WHERE id = 'installation'")
        mine = f"label=helvetia.installation={fact['value']}"
        listed = self.engine(
            "ps", "-a", "--filter", mine, "--filter", "label=helvetia.kind=instance",
            "--format", '{{.Label "helvetia.instance"}} {{.State}}',
        ).splitlines()  # fmt: skip
        if sorted(listed) != sorted(f"{row['id']} running" for row in instances):
            found.append(f"containers {listed}, instances {[row['id'] for row in instances]}")
        kinds = ["--filter", mine, "--filter", "label=helvetia.kind=network"]
        if len(self.engine("network", "ls", "-q", *kinds).split()) != len(NAMES):
            found.append("there are other networks than one for each service")
        return found

    def await_rest(self) -> None:
        """Wait until all is as it should be, with the right version of each service."""
        until("all has ended", lambda: not open_deployments(self.platform), seconds=150)
        last: list[str] = []

        def is_tidy() -> bool:
            last[:] = self.faults()
            return not last

        try:
            until("all is tidy", is_tidy, seconds=40)
        except AssertionError as error:
            raise AssertionError("\n".join(last)) from error
        for name, version in self.live.items():
            assert self.newest(name)["status"] == "LIVE", self.newest(name)["reason"]
            assert self.answer(name) == version


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with running_engine() as engine, registry_with_password() as registry:
        world = World(tmp_path_factory.mktemp("docker") / "home", engine, registry)
        try:
            world.platform.start_web()
            world.platform.start("worker")
            world.commit("v1")
            for name in NAMES:
                world.create(name)
            world.deploy(*NAMES, live="v1")
            world.await_rest()
            yield world
        finally:
            world.platform.tear_down()


def test_worker_and_control_plane_are_killed(world: World) -> None:
    """The worker dies at three places at once, the control plane after it."""
    platform = world.platform
    web, worker = platform.parts
    world.commit("v2")
    world.places.write_text(" ".join(PLACES))
    with Requests(platform, *NAMES).running() as requests:
        world.deploy(*NAMES, live="v2")
        assert worker.wait(120) == -signal.SIGKILL
        assert len(open_deployments(platform)) == len(NAMES)
        requests.await_more(5)
        web.kill()
        web.wait()
        requests.await_more(5)
        platform.parts.clear()
        world.places.write_text("")
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


@pytest.mark.long
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


@pytest.mark.long
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
