"""The server profile: workers come and go, Redis loses everything, PostgreSQL is restarted."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from .apps import SlowSite
from .harness import until
from .killing import App, Requests
from .production import Production, production

pytestmark = [pytest.mark.e2e, pytest.mark.postgres]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Production]:
    # A lease so long that nobody gets a service by waiting for its end.
    settings = {"HELVETIA_LEASE_SECONDS": "120", "HELVETIA_WORKERS": "2"}
    with production(tmp_path_factory.mktemp("production") / "home", **settings) as cluster:
        for _ in range(2):
            cluster.start_worker()
        yield cluster


@pytest.fixture(autouse=True)
def two_workers(cluster: Production) -> Iterator[None]:
    yield
    while len(cluster.parts) < 3:
        cluster.start_worker()


def deploy(cluster: Production, site: SlowSite, name: str) -> Any:
    options = ("--name", name, *SlowSite.options, "--no-wait")
    cluster.run("deploy", str(site.repository.folder), *options)
    return cluster.newest(name)


def building(cluster: Production, name: str) -> Any:
    """Return the newest deployment of a service once it is being built."""

    def look() -> Any:
        newest = cluster.newest(name)
        stages = {stage["name"]: stage["status"] for stage in newest["stages"]}
        return newest if stages.get("build") == "RUNNING" else None

    return until(f"{name} is built", look)


def ended(cluster: Production, name: str, *, seconds: float = 60) -> Any:
    def look() -> Any:
        newest = cluster.newest(name)
        return newest if newest["finished_at"] else None

    return until(f"the deployment of {name} ends", look, seconds=seconds)


def runner_of(cluster: Production, deployment_id: str) -> Any:
    """Return the part that runs a deployment."""
    for part in cluster.parts[1:]:
        worker = cluster.worker(part)
        if worker and deployment_id in [job["id"] for job in worker["running"]]:
            return part
    return None


def assert_well(cluster: Production, name: str, answer: str) -> None:
    """Make sure that one version runs, is what answers, and is told truthfully."""

    def settled() -> bool:
        service = cluster.service(name)
        return service["status"] == "ACTIVE" and len(service["instances"]) == 1

    until(f"{name} is settled", settled)
    assert cluster.get(f"{name}.localhost")[:2] == (200, answer.encode())


def test_what_is_said_of_an_absent_redis_can_be_read(cluster: Production) -> None:
    assert _redis_lines(cluster) == []
    cluster.redis.stop()
    try:
        queue = until("it is noticed", lambda: _queue_without_broker(cluster), seconds=20)
        assert "away" in queue["broker_reason"]
        doctor = cluster.run("doctor", code=1)
        assert "broker redis" in doctor.stdout
        assert "is away" in doctor.stdout
    finally:
        cluster.redis.start()
    until("all are back", lambda: len(_redis_lines(cluster)) >= 6, seconds=20)
    lines = _redis_lines(cluster)
    assert len(lines) == 6, lines
    until("the broker is well", lambda: cluster.api("GET", "queue")["broker_ok"], seconds=20)


def _queue_without_broker(cluster: Production) -> Any:
    queue = cluster.api("GET", "queue")
    return None if queue["broker_ok"] else queue


def _redis_lines(cluster: Production) -> list[str]:
    return [line for line in cluster.problems() if "Redis at" in line]


def test_what_a_worker_runs_is_taken_over_at_once_when_it_is_stopped(
    cluster: Production, tmp_path: Path
) -> None:
    site = SlowSite(tmp_path)
    site.commit("one")
    deploy(cluster, site, "handed")
    deployment = building(cluster, "handed")
    until("the build has begun", site.builds)
    part = until("a worker runs it", lambda: runner_of(cluster, deployment["id"]))
    began = time.monotonic()
    assert cluster.end_part(part) == 0

    def other() -> bool:
        found = runner_of(cluster, deployment["id"])
        return found is not None and len(site.builds()) == 2

    until("the other worker builds it", other)
    assert time.monotonic() - began < 10
    site.let_go()
    assert ended(cluster, "handed")["status"] == "LIVE"
    assert_well(cluster, "handed", "one")
    lines = cluster.lines(deployment["id"])
    assert any("interrupted: the worker stops" in line for line in lines)
    assert not [line for line in lines if line.startswith("attempt ")], "it counts no attempt"
    assert cluster.worker(part) is None, "who has stopped is not on the list any more"


@pytest.mark.parametrize("what", ["flushed", "killed", "away at the end of a worker"])
def test_redis_loses_everything_in_the_middle_of_a_build(
    cluster: Production, tmp_path: Path, what: str
) -> None:
    name = f"redis-{what.split()[0]}"
    site = SlowSite(tmp_path)
    site.commit("one")
    first = deploy(cluster, site, name)
    building(cluster, name)
    if what == "flushed":
        assert cluster.redis.ask("FLUSHALL") == "+OK"
    else:
        cluster.redis.stop()
    try:
        if what.startswith("away"):
            part = until("a worker runs it", lambda: runner_of(cluster, first["id"]))
            assert cluster.end_part(part) == 0
        # Asked for while nobody can be rung at.
        began = time.monotonic()
        later = cluster.api("POST", f"services/{name}/deployments", {})
        assert time.monotonic() - began < 2, "the API does not wait for Redis"
        site.let_go()
        assert ended(cluster, name)["id"] == later["id"]
    finally:
        if cluster.redis.process is None:
            cluster.redis.start()
    ends = {row["id"]: row["status"] for row in cluster.deployments(name)}
    assert ends == {first["id"]: "LIVE", later["id"]: "LIVE"}
    assert_well(cluster, name, "one")


def test_postgres_is_restarted_in_the_middle_of_a_build(
    cluster: Production, tmp_path: Path
) -> None:
    site = SlowSite(tmp_path)
    site.let_go()
    site.commit("one")
    deploy(cluster, site, "pg")
    assert ended(cluster, "pg")["status"] == "LIVE"
    site.hold()
    site.commit("two")
    with Requests(cluster, "pg").running():
        cluster.api("POST", "services/pg/deployments", {})
        building(cluster, "pg")
        cluster.postgres.stop()
        until("it is missed", lambda: cluster.get_control("/readyz") == 503)
        cluster.postgres.start()
        until("the control plane is ready", cluster.is_ready, seconds=30)
        site.let_go()
        assert ended(cluster, "pg")["status"] == "LIVE"
    assert_well(cluster, "pg", "two")
    assert len(cluster.deployments("pg")) == 2


def test_a_label_that_nobody_has_is_told_until_a_worker_has_it(
    cluster: Production, tmp_path: Path
) -> None:
    app = App(tmp_path / "app", "picky")
    app.commit("v1")
    options = ("--name", "picky", "--worker", "region=eu", "--no-wait")
    cluster.run("deploy", str(app.repository.folder), *options)
    reason = "no worker with label region=eu is there"
    until("it is told", lambda: cluster.newest("picky")["reason"] == reason)
    deployment = cluster.newest("picky")
    assert deployment["status"] == "QUEUED"
    until("the log says so", lambda: f"waits: {reason}" in cluster.lines(deployment["id"]))
    assert reason in cluster.run("queue").stdout
    assert cluster.api("GET", "queue")["next"][0]["labels"] == ["region=eu"]
    part = cluster.start_worker(HELVETIA_WORKER_LABELS="build, region=eu")
    assert cluster.worker(part)["labels"] == ["build", "region=eu"]
    assert ended(cluster, "picky")["status"] == "LIVE"
    assert_well(cluster, "picky", "v1")
    assert cluster.newest("picky")["reason"] == ""
    assert cluster.lines(deployment["id"]).count(f"waits: {reason}") == 1
    table = cluster.run("workers").stdout
    assert re.search(r"alive .* build,region=eu +0 of 2", table)
    app.commit("v2")
    again = cluster.api("POST", "services/picky/deployments", {})
    until("it ends", lambda: cluster.newest("picky")["finished_at"])
    assert again["id"] == cluster.newest("picky")["id"]
    cluster.end_part(part)


def test_the_control_plane_rings_over_redis(cluster: Production, tmp_path: Path) -> None:
    """That a ring begins a deployment without a look at the database: tests/brokers."""
    app = App(tmp_path / "app", "rung")
    app.commit("v1")
    app.deploy_first(cluster)
    assert cluster.redis.ask("KEYS", "helvetia:*:deployments") == "*1"
    assert ended(cluster, "rung")["status"] == "LIVE"
