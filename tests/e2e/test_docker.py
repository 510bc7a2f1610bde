"""The same life of a service on a real Docker engine: built in isolation, run as a container."""

from __future__ import annotations

import base64
import contextlib
import http.client
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docker_engine import DockerEngine

from .boxed import DOCKERFILE, docker_settings, lay_busybox
from .harness import Installation, running, until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(480)]

NAME = "boxed"


@pytest.fixture
def platform(docker_engine: DockerEngine, tmp_path: Path) -> Iterator[Installation]:
    with running(Installation(tmp_path / "home", **docker_settings(docker_engine))) as installation:
        yield installation


@contextlib.contextmanager
def asking(platform: Installation) -> Iterator[list[str]]:
    """Ask for the page again and again, each time on a connection of its own; note the answers."""
    answers: list[str] = []
    stop = threading.Event()

    def ask() -> None:
        while not stop.wait(0.02):
            try:
                status, body, _ = platform.get(f"{NAME}.localhost")
                answers.append(f"{status} {body.decode().strip()}")
            except (OSError, http.client.HTTPException) as error:
                answers.append(repr(error))

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield answers
    finally:
        stop.set()
        thread.join()


def lay(folder: Path, text: str) -> Path:
    lay_busybox(folder)
    (folder / "Dockerfile").write_text(DOCKERFILE)
    (folder / "index.html").write_text(text)
    return folder


def test_a_dockerfile_lives_and_is_replaced_without_a_failed_request(
    platform: Installation, docker_engine: DockerEngine, tmp_path: Path
) -> None:
    app = lay(tmp_path / "app", "first\n")
    plan = platform.json("plan", str(app))
    chosen = {stage["stage"]: stage["provider"] for stage in plan["stages"]}
    assert [chosen[stage] for stage in ("build", "push", "start")] == ["docker", "engine", "docker"]
    said = {stage["stage"]: stage["reason"] for stage in plan["stages"]}
    assert "keeps images in Docker 20" in said["push"]
    platform.run("deploy", str(app), "--name", NAME)
    assert platform.get(f"{NAME}.localhost")[1] == b"first\n"

    with asking(platform) as answers:
        platform.run("deploy", str(lay(app, "second\n")), "--name", NAME)
        platform.run("rollback", NAME)
    assert {*answers} == {"200 first", "200 second"}

    # Containers outlive the control plane, and the next one knows them.
    assert platform.process is not None
    with asking(platform) as answers:
        platform.process.kill()
        platform.process.wait()
        platform.up()
        until("the service is active", lambda: platform.service(NAME)["status"] == "ACTIVE")
    assert {*answers} == {"200 first"}

    mine = f"label=helvetia.service={platform.service(NAME)['id']}"
    assert docker_engine("ps", "-q", "--filter", mine)
    assert docker_engine("volume", "ls", "-q", "--filter", mine)
    platform.run("delete", NAME, "--yes")
    until("nothing is left", lambda: not docker_engine("ps", "-aq", "--filter", mine))
    assert not docker_engine("volume", "ls", "-q", "--filter", mine)
    assert not docker_engine("images", "-q", "--filter", mine)
    assert not docker_engine("network", "ls", "-q", "--filter", mine)


def test_a_build_that_prints_its_secrets_and_a_dockerfile_that_is_written(
    platform: Installation, docker_engine: DockerEngine, tmp_path: Path
) -> None:
    secret = "correct horse/battery+staple"
    app = lay(tmp_path / "app", "first\n")
    told = "\n".join(
        f"RUN --mount=type=secret,id=TOKEN {command}"
        for command in (
            "busybox cat /run/secrets/TOKEN; busybox echo",
            "busybox base64 /run/secrets/TOKEN",
            "(busybox echo -n x; busybox cat /run/secrets/TOKEN) | busybox base64",
            "busybox od -An -v -tx1 /run/secrets/TOKEN | busybox tr -d ' \\n'; busybox echo",
            "busybox sed 's/ /%20/g; s,/,%2F,g; s/+/%2B/g' /run/secrets/TOKEN; busybox echo",
            "busybox head -c 9 /run/secrets/TOKEN; busybox sleep 1;"
            " busybox tail -c +10 /run/secrets/TOKEN; busybox echo",
            "busybox cat /run/secrets/TOKEN; busybox echo; exit 3",
        )
    )
    dockerfile = DOCKERFILE.replace(
        "COPY index", f"COPY busybox /bin/sh\nENV PATH=/bin\n{told}\nCOPY index"
    )
    (app / "Dockerfile").write_text(dockerfile)
    done = platform.run("deploy", str(app), "--name", NAME, "-e", f"TOKEN={secret}", code=3)
    reason = platform.deployments(NAME)[0]["reason"]
    log = platform.run("logs", NAME, "--build", "--tail", "all").stdout
    assert "ended with exit code 3" in reason
    assert "RUN --mount=type=secret,id=TOKEN busybox cat" in log
    raw = secret.encode()
    for form in (
        secret, base64.b64encode(raw).decode(), base64.b64encode(b"x" + raw).decode()[4:-4],
        raw.hex(), secret.replace(" ", "%20").replace("/", "%2F").replace("+", "%2B"), "battery",
    ):  # fmt: skip
        for said in (done.stdout, done.stderr, log, reason):
            assert form not in said

    # A build that failed leaves a cache as well.
    mine = f"label=helvetia.service={platform.service(NAME)['id']}"
    assert docker_engine("volume", "ls", "-q", "--filter", mine)
    assert platform.json("cache", "clear", NAME)["freed_bytes"] > 2**20
    assert not docker_engine("volume", "ls", "-q", "--filter", mine)
    assert "is clear, 0 B freed" in platform.run("cache", "clear", NAME).stderr

    (app / "Dockerfile").unlink()
    (app / "go.mod").write_text("module x\n\ngo 1.23\n")
    (app / "main.go").write_text("package main\n")
    shown = platform.run("plan", str(app), "--dockerfile").stdout
    assert shown.startswith("ARG BASE=golang:1.23\n")
    assert shown == platform.json("plan", str(app), "--type", "docker")["generated"]["Dockerfile"]
    (app / "Dockerfile").write_text(DOCKERFILE)
    refused = platform.run("plan", str(app), "--dockerfile", code=2)
    assert "there is a Dockerfile" in refused.stderr


@pytest.mark.long
def test_a_service_with_a_volume_is_stopped_first_and_comes_back(
    platform: Installation, docker_engine: DockerEngine, tmp_path: Path
) -> None:
    app = lay(tmp_path / "app", "first\n")
    platform.run("deploy", str(app), "--name", NAME, "--volume", "data=/www/data")
    (instance,) = platform.service(NAME)["instances"]
    mine = f"label=helvetia.service={platform.service(NAME)['id']}"
    listing = ["volume", "ls", "-q", "--filter", "label=helvetia.kind=volume", "--filter", mine]
    (volume,) = docker_engine(*listing).split()
    image = docker_engine("images", "-q", "--filter", mine).split()[0]
    words = ["run", "--rm", "--volume", f"{volume}:/data", image, "/bin/busybox", "touch"]
    docker_engine(*words, "/data/kept")

    # It never gets healthy: nobody answers for a while, then the old one does again.
    failed = platform.json(
        "deploy", str(lay(app, "second\n")), "--name", NAME, "--health", "/no", "--grace", "1",
        code=4,
    )  # fmt: skip
    assert failed["status"] == "FAILED"
    said = platform.run("logs", NAME, "--build").stdout
    assert "the former version is stopped first, because of the volumes: data" in said
    assert platform.get(f"{NAME}.localhost")[1] == b"first\n"
    assert [one["id"] for one in platform.service(NAME)["instances"]] == [instance["id"]]

    platform.run("deploy", str(lay(app, "third\n")), "--name", NAME, "--health", "/")
    assert platform.get(f"{NAME}.localhost")[1] == b"third\n"
    assert platform.get(f"{NAME}.localhost", "/data/kept")[0] == 200
    platform.run("rollback", NAME, "--to", "1")
    assert platform.get(f"{NAME}.localhost", "/data/kept")[0] == 200
    assert platform.get(f"{NAME}.localhost")[1] == b"first\n"

    platform.run("delete", NAME, "--yes")
    assert not docker_engine("volume", "ls", "-q", "--filter", mine)
