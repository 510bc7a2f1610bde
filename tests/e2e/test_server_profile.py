"""Control plane and workers as processes of their own, on PostgreSQL."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from .harness import Cluster, Repository, until

pytestmark = [pytest.mark.e2e, pytest.mark.postgres]


@pytest.fixture
def cluster(tmp_path: Path, database_url: str) -> Iterator[Cluster]:
    cluster = Cluster(tmp_path / "home", DATABASE_URL=database_url)
    try:
        cluster.start_web()
        yield cluster
    finally:
        cluster.tear_down()


@pytest.mark.parametrize(
    "database_url",
    [pytest.param("sqlite", marks=pytest.mark.long), "postgres"],
    indirect=True,
)
def test_a_worker_takes_over_from_a_killed_one(cluster: Cluster, repository: Repository) -> None:
    go = cluster.home.parent / "go"
    build = (
        "import pathlib, time\n"
        f"while not pathlib.Path({str(go)!r}).exists(): time.sleep(0.05)\n"
        "pathlib.Path('out').mkdir(exist_ok=True)\n"
        "pathlib.Path('out/index.html').write_text('built')\n"
    )
    repository.commit("Build slowly", {"build.py": build, "index.html": "not built"})
    first = cluster.start("worker")
    deploy = ["deploy", str(repository.folder), "--name", "slow", "--no-wait", "--type", "static"]
    cluster.run(*deploy, "--set", "build_command=python3 build.py", "--set", "output=out")
    until("the build runs", lambda: _stage(cluster, "build") == "RUNNING", seconds=60)
    first.send_signal(signal.SIGKILL)
    first.wait()
    cluster.start("worker")
    go.touch()
    until("the deployment is live", lambda: _newest(cluster)["status"] == "LIVE", seconds=90)
    assert cluster.get("slow.localhost")[:2] == (200, b"built")
    assert len(cluster.json("deployments", "slow")) == 1
    log = cluster.run("logs", "slow", "--build").stdout
    assert "attempt 2" in log


def _newest(cluster: Cluster) -> dict[str, Any]:
    newest: dict[str, Any] = cluster.json("deployments", "slow")[0]
    return newest


def _stage(cluster: Cluster, name: str) -> str:
    stages = {stage["name"]: stage["status"] for stage in _newest(cluster)["stages"]}
    return str(stages.get(name, ""))
