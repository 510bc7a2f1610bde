"""Builds that eat and hang, through the whole pipeline: told with limit and step; all else lives.

That a build fails by itself is in test_docker_kinds, that one prints its secrets in test_docker.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docker_engine import DockerEngine

from .boxed import DOCKERFILE, docker_settings, lay_busybox
from .harness import Installation, running, until
from .killing import Requests

pytestmark = [pytest.mark.e2e, pytest.mark.long, pytest.mark.timeout(600)]

NAME = "victim"
SHELL = DOCKERFILE.replace("COPY index", "COPY busybox /bin/sh\nENV PATH=/bin\nCOPY index")
BOMB = "bomb() { bomb | bomb & }; bomb; busybox sleep 600"
HOSTILE = {
    "hangs": ("busybox echo begun; busybox sleep 600", "time limit 30 s reached while running "),
    "eats memory": ("busybox tail /dev/zero", "memory limit 512 MB reached while running "),
    "forks": (BOMB, "process limit 600 reached while running "),
    "fills the disk": (
        "busybox dd if=/dev/zero of=/big bs=1M count=800",
        "disk limit 600 MB reached while running ",
    ),
}


@pytest.fixture(scope="module")
def platform(
    docker_engine: DockerEngine, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Installation]:
    limits = {"MEMORY_MB": "512", "PIDS": "600", "DISK_MB": "600", "SECONDS": "30"}
    own = {f"HELVETIA_DOCKER_BUILDER_{name}": value for name, value in limits.items()}
    folder = tmp_path_factory.mktemp("hostile")
    made = Installation(folder / "home", **docker_settings(docker_engine), **own)
    with running(made) as platform:
        lay(folder / "app", "alive")
        platform.run("deploy", str(folder / "app"), "--name", NAME)
        yield platform


def lay(folder: Path, page: str, *steps: str) -> None:
    lay_busybox(folder)
    (folder / "Dockerfile").write_text("\n".join([SHELL, *(f"RUN {step}" for step in steps), ""]))
    (folder / "index.html").write_text(page)


def builders(platform: Installation, engine: DockerEngine) -> list[str]:
    mine = f"label=helvetia.service={platform.service(NAME)['id']}"
    kind = "label=helvetia.kind=builder"
    listed = engine("ps", "-aq", "--filter", mine, "--filter", kind).split()
    return listed + engine("network", "ls", "-q", "--filter", mine, "--filter", kind).split()


@pytest.mark.parametrize("what", HOSTILE)
def test_a_build_that(
    platform: Installation, docker_engine: DockerEngine, tmp_path: Path, what: str
) -> None:
    step, told = HOSTILE[what]
    lay(tmp_path / "app", "dead", step)
    with Requests(platform, NAME).running() as requests:
        requests.await_more()
        failed = platform.json("deploy", str(tmp_path / "app"), "--name", NAME, code=3, timeout=300)
    assert (failed["status"], failed["failed_stage"]) == ("FAILED", "build")
    assert failed["reason"].startswith(told), failed["reason"]
    assert f"(RUN {step}) (" in failed["reason"]
    assert "in section [docker_builder]" in failed["reason"]
    assert {answer for _, answer in requests.answers} == {"alive"}
    assert builders(platform, docker_engine) == []
    assert platform.service(NAME)["status"] == "ACTIVE"


def test_two_gigabytes_of_files(
    platform: Installation, docker_engine: DockerEngine, tmp_path: Path
) -> None:
    """Refused with the limit before they are sent; what is ignored is no matter."""
    app = tmp_path / "app"
    lay(app, "dead")
    with (app / "large").open("wb") as large:
        large.truncate(2 * 2**30)
    deploy = ("deploy", str(app), "--name", NAME)
    told = platform.run(*deploy, code=3, timeout=300).stderr
    assert "1024 MiB" in told
    assert platform.get(f"{NAME}.localhost")[1] == b"alive"

    with (app / "large").open("r+b") as large:
        large.truncate(900 * 2**20)
    told = platform.run(*deploy, code=3, timeout=300).stderr
    assert "disk limit 600 MB reached: the files of the build have 90" in told
    assert ".dockerignore" in told
    assert platform.get(f"{NAME}.localhost")[1] == b"alive"

    (app / ".dockerignore").write_text("large\n")
    (app / "index.html").write_text("alive again")
    platform.run(*deploy, timeout=300)
    assert platform.get(f"{NAME}.localhost")[1] == b"alive again"
    until("nothing is left", lambda: not list((platform.home / "work").glob("*")))
