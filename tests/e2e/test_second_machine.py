"""A worker of another machine, where services are processes of the first one."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from .harness import Cluster, until
from .killing import rows

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a program another host name"),
]

_ELSEWHERE = (
    "import os, socket, sys; socket.sethostname('elsewhere'); os.execv(sys.argv[1], sys.argv[1:])"
)


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    cluster = Cluster(tmp_path / "home")
    try:
        yield cluster
    finally:
        cluster.tear_down()


def elsewhere(cluster: Cluster, **settings: str) -> subprocess.Popen[str]:
    """Start a worker that takes itself for one of another machine."""
    command = [sys.executable, "-I", "-S", "-c", _ELSEWHERE, cluster.helvetia, "worker"]
    return subprocess.Popen(
        ["unshare", "--uts", "--", *command],
        env={**cluster.environment, **settings},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def hosts(cluster: Cluster) -> set[str]:
    return {row["host"] for row in rows(cluster, "SELECT host FROM worker")}


def test_it_refuses_to_start_unless_nothing_is_for_one_machine(cluster: Cluster) -> None:
    cluster.run("migrate")
    cluster.start("worker")
    until("the first worker is there", lambda: hosts(cluster), seconds=120)
    (here,) = hosts(cluster)

    told, _ = (refused := elsewhere(cluster)).communicate(timeout=120)
    assert refused.returncode == 1, told
    assert f"workers are on {here}, this is elsewhere, and what folder and process run" in told
    assert "HELVETIA_DISABLED_PLUGINS=registry-folder,runtime-process in every process" in told
    assert hosts(cluster) == {here}

    plugins = "registry-folder,runtime-process"
    with elsewhere(cluster, HELVETIA_DISABLED_PLUGINS=plugins) as second:
        try:
            both = {here, "elsewhere"}
            until("both are there", lambda: hosts(cluster) == both, seconds=120)
        finally:
            second.kill()
