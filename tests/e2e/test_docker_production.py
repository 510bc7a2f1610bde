"""The whole server profile with Docker: each part of it dies while others work, and comes back.

Two workers, PostgreSQL, Redis, a registry, an engine whose disk is small, and a Git server beyond
a network. After each death: no deployment is lost, one release is live and answers, what is told is
true, logs are whole and in order, and nothing is left in the engine.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
from collections.abc import Iterator

import pytest

from tests.docker_engine import DockerEngine
from tests.postgres_server import running_postgres
from tests.redis_server import running_redis
from tests.registry.server import registry_with_password

from .disks import fill, small_disk
from .git_server import GitServer, running_git_server
from .harness import until
from .killing import Requests, open_deployments, rows
from .looking import stage
from .production import Production
from .world import World, world_settings

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.long,
    pytest.mark.postgres,
    pytest.mark.timeout(900),
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can start a Docker engine"),
]

NAMES = ["one", "two"]
_DISK_MB = 2500
_BUILD_SECONDS = 6.0


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    home = tmp_path_factory.mktemp("production") / "home"
    with contextlib.ExitStack() as stack:
        engine = DockerEngine()
        stack.callback(engine.close)
        stack.enter_context(small_disk(engine.folder / "data", _DISK_MB))
        engine.start()
        registry = stack.enter_context(registry_with_password())
        postgres = stack.enter_context(running_postgres())
        redis = stack.enter_context(running_redis())
        platform = Production(
            home, postgres, redis, **world_settings(engine, registry), HELVETIA_WORKERS="2",
            HELVETIA_DOCKER_BUILDER_DISK_MB="512", HELVETIA_GIT_TIMEOUT_SECONDS="20",
        )  # fmt: skip
        stack.callback(platform.tear_down)
        platform.start_web()
        for _ in range(2):
            platform.start_worker()
        world = World(platform, engine, registry)
        world.commit("v0")
        world.begin(NAMES, "v0")
        yield world


@pytest.fixture(autouse=True)
def two_workers(world: World) -> Iterator[None]:
    yield
    while len(world.platform.parts) < 3:
        assert isinstance(world.platform, Production)
        world.platform.start_worker()


def parts(world: World) -> Production:
    assert isinstance(world.platform, Production)
    return world.platform


def runner_of(world: World, deployment_id: str) -> int:
    """Return the place among the parts of the worker that runs a deployment."""

    def look() -> int:
        for place, part in enumerate(parts(world).parts):
            worker = place and parts(world).worker(part)
            if worker and deployment_id in [job["id"] for job in worker["running"]]:
                return place
        return 0

    return int(until("a worker runs it", look))


def begin(world: World, version: str) -> str:
    """Begin to deploy to the first service; return the deployment once it is being built."""
    world.commit_talking(version, seconds=_BUILD_SECONDS)
    world.deploy(NAMES[0], live=version)
    return world.await_build(NAMES[0], version)


def assert_whole(world: World, deployment_id: str, version: str, *, attempts: int = 1) -> None:
    """Make sure that it went live, with a whole log, and that nothing is left."""
    world.await_rest(left=True)
    assert world.newest(NAMES[0])["id"] == deployment_id
    query = f"SELECT attempt FROM deployment WHERE id = '{deployment_id}'"
    assert rows(world.platform, query) == [{"attempt": attempts}]
    assert world.log_faults(deployment_id, version) == []


def test_the_worker_is_killed_in_the_middle_of_a_build(world: World) -> None:
    with Requests(world.platform, *NAMES).running() as requests:
        id = begin(world, "worker")
        victim = world.platform.parts.pop(runner_of(world, id))
        victim.kill()
        victim.wait()
        requests.await_more()
        assert_whole(world, id, "worker", attempts=2)
    assert {said for _, said in requests.answers} == {"v0", "worker"}


def test_the_control_plane_is_killed_in_the_middle_of_a_build(world: World) -> None:
    with Requests(world.platform, *NAMES).running() as requests:
        id = begin(world, "control")
        web = world.platform.parts.pop(0)
        web.kill()
        web.wait()
        requests.await_more(100)
        world.platform.start_web()
        world.platform.parts.insert(0, world.platform.parts.pop())
        assert_whole(world, id, "control")


def test_redis_loses_everything_in_the_middle_of_a_build(world: World) -> None:
    with Requests(world.platform, *NAMES).running():
        id = begin(world, "redis")
        parts(world).redis.stop()
        # What is asked for while it is away begins all the same.
        world.platform.api("POST", f"services/{NAMES[1]}/deployments", {})
        world.live[NAMES[1]] = "redis"
        until("the other one runs", lambda: stage(world.platform, NAMES[1]))
        parts(world).redis.start()
        assert_whole(world, id, "redis")
    assert world.newest(NAMES[1])["status"] == "LIVE"


def test_postgres_is_restarted_in_the_middle_of_a_build(world: World) -> None:
    with Requests(world.platform, *NAMES).running() as requests:
        id = begin(world, "postgres")
        parts(world).postgres.stop()
        until("it is missed", lambda: world.platform.get_control("/readyz") == 503)
        requests.await_more()
        parts(world).postgres.start()
        until("the control plane is ready", world.platform.is_ready, seconds=30)
        world.await_rest(left=True)
    newest = world.newest(NAMES[0])
    assert newest["id"] == id
    assert world.log_faults(id, "postgres") == []


def test_the_engine_is_restarted_in_the_middle_of_a_build(world: World) -> None:
    id = begin(world, "engine")
    before = {row["id"] for row in rows(world.platform, "SELECT id FROM instance")}
    world.engine.kill()
    failed = world.await_end(NAMES[0], seconds=120)
    world.engine.start()
    assert (failed["id"], failed["status"], failed["failed_stage"]) == (id, "FAILED", "build")
    assert "Docker engine" in failed["reason"]
    until("all is back", lambda: [f for f in world.faults() if "deployment" not in f] == [],
          seconds=60)  # fmt: skip
    assert {row["id"] for row in rows(world.platform, "SELECT id FROM instance")} == before
    assert world.answer(NAMES[0]) == "postgres"
    assert world.said(id, "engine")[0] == "line 1 of engine"
    with Requests(world.platform, *NAMES).running():
        id = begin(world, "engine-again")
        assert_whole(world, id, "engine-again")


def test_the_registry_is_down_for_a_while(world: World) -> None:
    with Requests(world.platform, *NAMES).running():
        id = begin(world, "registry")
        world.registry.kill()
        failed = world.await_end(NAMES[0], seconds=120)
        assert (failed["id"], failed["status"], failed["failed_stage"]) == (id, "FAILED", "push")
        assert world.registry.url.removeprefix("http://") in failed["reason"]
        assert world.log_faults(id, "registry") == []
        assert world.answer(NAMES[0]) == "engine-again"
        world.registry.start()
        id = begin(world, "registry-again")
        assert_whole(world, id, "registry-again")


def test_traefik_is_killed_in_the_middle_of_a_rollover(world: World) -> None:
    id = begin(world, "traefik")
    until("it is switched", lambda: stage(world.platform, NAMES[0]) in ("probe", "activate",
          "drain"), seconds=120)  # fmt: skip
    os.kill(world.platform.traefik()["pid"], signal.SIGKILL)
    until("Traefik is back", lambda: world.answer(NAMES[1]) == world.live[NAMES[1]])
    with Requests(world.platform, *NAMES).running() as requests:
        requests.await_more()
        assert_whole(world, id, "traefik")


def test_the_network_to_git_is_cut(world: World) -> None:
    root = world.repository.folder.parent
    with running_git_server(root) as server, Requests(world.platform, *NAMES).running():
        path = f"services/{NAMES[0]}"
        world.platform.api("PATCH", path, {"source": server.url(world.repository.folder.name)})
        world.commit_talking("git", seconds=0)
        failed = cut_off(world, server)
        assert (failed["status"], failed["failed_stage"]) == ("FAILED", "fetch")
        assert f"127.0.0.1:{server.server_address[1]}" in failed["reason"]
        assert "20 seconds" in failed["reason"]
        assert world.answer(NAMES[0]) == world.live[NAMES[0]]
        world.deploy(NAMES[0], live="git")
        world.await_rest(left=True)
        assert world.log_faults(world.newest(NAMES[0])["id"], "git") == []
        # Nobody is there at all.
    world.platform.api("POST", f"{path}/deployments", {})
    failed = world.await_end(NAMES[0], seconds=60)
    assert (failed["status"], failed["failed_stage"]) == ("FAILED", "fetch")
    assert world.answer(NAMES[0]) == "git"
    assert world.platform.service(NAMES[0])["status"] == "ACTIVE"
    world.platform.api("PATCH", path, {"source": str(world.repository.folder)})


def cut_off(world: World, server: GitServer) -> dict[str, str]:
    with server.cut():
        world.platform.api("POST", f"services/{NAMES[0]}/deployments", {})
        assert server.waiting.wait(60)
        failed: dict[str, str] = world.await_end(NAMES[0], seconds=120)
    return failed


def test_the_disk_of_a_build_is_full(world: World) -> None:
    with Requests(world.platform, *NAMES).running():
        world.repository.commit("big", {
            "Dockerfile": "FROM scratch\nCOPY busybox /bin/busybox\nCOPY busybox /bin/sh\n"
            "RUN busybox dd if=/dev/zero of=/big bs=1M count=800\n"
        })  # fmt: skip
        world.platform.api("POST", f"services/{NAMES[0]}/deployments", {})
        failed = world.await_end(NAMES[0], seconds=120)
        assert (failed["status"], failed["failed_stage"]) == ("FAILED", "build")
        assert failed["reason"].startswith("disk limit 512 MB reached while running step 3/3 (RUN")
        assert world.answer(NAMES[0]) == world.live[NAMES[0]]
        id = begin(world, "small")
        assert_whole(world, id, "small")


def test_the_disk_of_the_engine_is_full(world: World) -> None:
    filler = world.engine.folder / "data" / "filler"
    with Requests(world.platform, *NAMES).running() as requests:
        world.commit_noise("full", 24)
        fill(filler)
        world.platform.api("POST", f"services/{NAMES[0]}/deployments", {})
        failed = world.await_end(NAMES[0], seconds=180)
        assert failed["status"] == "FAILED"
        assert failed["failed_stage"] in ("build", "start"), failed
        assert "space" in failed["reason"] or "disk" in failed["reason"], failed["reason"]
        requests.await_more(20)
        assert world.answer(NAMES[0]) == world.live[NAMES[0]]
        filler.unlink()
        id = begin(world, "roomy")
        assert_whole(world, id, "roomy")
    assert not open_deployments(world.platform)


def test_the_engine_is_restarted_while_both_are_built(world: World) -> None:
    """As `systemctl restart docker` does it: every container ends with it."""
    before = {row["id"] for row in rows(world.platform, "SELECT id FROM instance")}
    with Requests(world.platform, *NAMES).running() as requests:
        world.commit_talking("restarted", seconds=_BUILD_SECONDS)
        world.deploy(*NAMES)
        ids = {name: world.await_build(name, "restarted") for name in NAMES}
        requests.await_more()
    world.engine.stop()
    world.engine.start()
    for name, id in ids.items():
        failed = world.await_end(name, seconds=180)
        assert (failed["id"], failed["status"], failed["failed_stage"]) == (id, "FAILED", "build")
        assert re.search("Docker engine|the builder ended", failed["reason"]), failed["reason"]
    until("all is back", lambda: not world.faults(), seconds=120)
    assert {row["id"] for row in rows(world.platform, "SELECT id FROM instance")} == before
    assert {name: world.answer(name) for name in NAMES} == world.live
    with Requests(world.platform, *NAMES).running():
        world.commit_talking("after", seconds=0)
        world.deploy(*NAMES, live="after")
        world.await_rest(left=True)
    for name in NAMES:
        assert world.log_faults(world.newest(name)["id"], "after") == []
