"""Two workers on one SQLite, one of which stands still for longer than its lease lasts."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from . import apps
from .harness import Cluster, Repository, until
from .killing import App, Requests, await_tidy, open_deployments, rows

pytestmark = pytest.mark.e2e

STALLS = int(os.environ.get("HELVETIA_STALLS", "8"))


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    cluster = Cluster(tmp_path_factory.mktemp("two") / "home")
    try:
        cluster.start_web()
        for _ in range(2):
            cluster.start("worker")
        yield cluster
    finally:
        cluster.tear_down()


@contextlib.contextmanager
def stopped(pid: int) -> Iterator[None]:
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def newest(cluster: Cluster, name: str) -> dict[str, Any]:
    return rows(
        cluster,
        "SELECT d.* FROM deployment d JOIN service s ON s.id = d.service_id WHERE s.name = ?"
        " ORDER BY d.number DESC LIMIT 1",
        name,
    )[0]


def is_in(cluster: Cluster, name: str, stage: str, attempt: int) -> bool:
    query = "SELECT status FROM stage_run WHERE deployment_id = ? AND name = ? AND attempt = ?"
    found = rows(cluster, query, newest(cluster, name)["id"], stage, attempt)
    return [row["status"] for row in found] == ["RUNNING"]


@pytest.mark.parametrize("stage", ["build", "probe", "drain"])
def test_the_worker_of_a_deployment_stands_still(
    cluster: Cluster, tmp_path: Path, stage: str
) -> None:
    name, go = f"still-{stage}", tmp_path / "go"
    site = apps.SlowSite(tmp_path)
    repository = site.repository if stage == "build" else Repository(tmp_path / "repository")
    options: tuple[str, ...] = ()
    if stage == "build":
        site.let_go()
        site.commit("one")
        options = apps.SlowSite.options
    else:
        repository.commit("one", apps.server("one"))
    cluster.json("deploy", str(repository.folder), "--name", name, *options)
    if stage == "build":
        site.hold()
        site.commit("two")
    else:
        behaviour = {"start-when": go} if stage == "probe" else {}
        repository.commit("two", apps.server("two", behaviour))
    with contextlib.ExitStack() as stack, Requests(cluster, name).running():
        if stage == "drain":
            # A connection that is in use for as long as the old version is drained.
            stack.enter_context(busy(cluster, name))
        cluster.api("POST", f"services/{name}/deployments", {})
        until("the stage is reached", lambda: is_in(cluster, name, stage, 1))
        pid = int(newest(cluster, name)["worker"].split(":")[1])
        with stopped(pid):
            until("the other one takes over", lambda: is_in(cluster, name, stage, 2))
            assert str(pid) not in newest(cluster, name)["worker"].split(":")
        # It goes on where it stood, and must find out that it is not the master any more.
        time.sleep(1)
        go.touch()
        site.let_go()
        stack.close()
        until("the deployment ends", lambda: newest(cluster, name)["finished_at"], seconds=60)
        await_tidy(cluster)
    last = newest(cluster, name)
    assert (last["status"], last["attempt"]) == ("LIVE", 2)
    assert cluster.get(f"{name}.localhost")[1] == b"two"


@contextlib.contextmanager
def busy(cluster: Cluster, name: str) -> Iterator[None]:
    import threading

    stop = threading.Event()

    def ask() -> None:
        while not stop.is_set():
            with contextlib.suppress(OSError):
                cluster.get(f"{name}.localhost", "/slow")

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join()


@pytest.mark.long
def test_workers_stand_still_at_random(cluster: Cluster, tmp_path: Path) -> None:
    dice = random.Random(7)
    app = App(tmp_path / "repository", "random-stalls")
    app.commit("v0")
    app.deploy_first(cluster)
    with Requests(cluster, app.name).running():
        for number in range(1, STALLS + 1):
            app.commit(f"v{number}")
            cluster.api("POST", f"services/{app.name}/deployments", {})
            time.sleep(dice.uniform(0, 1.5))
            with stopped(dice.choice(cluster.parts[1:]).pid):
                time.sleep(dice.uniform(0.5, 4))
        until("all has ended", lambda: not open_deployments(cluster), seconds=60)
        await_tidy(cluster)
    assert cluster.get(f"{app.name}.localhost")[1].decode() == f"v{STALLS}"
    ends = {row["status"] for row in rows(cluster, "SELECT status FROM deployment")}
    assert ends <= {"LIVE", "SUPERSEDED"}
