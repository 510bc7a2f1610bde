"""The way of a trivial image through the whole platform, beside the raw calls of an engine.

Run: python -m bench deploy, or python -m bench.deploy [repeats]

Builder, registry, runtime and proxy are the real ones: an engine in an engine, docker-registry,
containers, Traefik. The raw sequence does the same by hand, in an engine of the same kind that
is as warm: build, push, run, ask until the new page is there.
"""

from __future__ import annotations

import http.client
import itertools
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from uuid import uuid4

from bench.tables import show
from tests.docker_engine import DockerEngine, running_engine
from tests.e2e.boxed import DOCKERFILE, docker_settings, lay_busybox
from tests.e2e.harness import Installation, Repository, until
from tests.registry.server import RegistryServer

RATIO, SECONDS = 1.3, 5.0
NAME = "boxed"
Times = dict[str, float]


def make_app(folder: Path) -> Repository:
    """Make the repository of the service."""
    app = Repository(folder)
    lay_busybox(folder)
    app.commit("the first page", {"Dockerfile": DOCKERFILE, "index.html": "page 0\n"})
    return app


def answers(host: str, port: int, name: str, page: str) -> bool:
    connection = http.client.HTTPConnection(host, port, timeout=5)
    try:
        connection.request("GET", "/", headers={"Host": name})
        answer = connection.getresponse()
        return answer.status == 200 and answer.read().decode() == page
    except OSError:
        return False
    finally:
        connection.close()


def wait_for(host: str, port: int, name: str, page: str) -> None:
    deadline = time.monotonic() + 60
    while not answers(host, port, name, page):
        assert time.monotonic() < deadline, f"{page} does not answer"
        time.sleep(0.005)


def through_the_platform(platform: Installation, app: Repository, page: str) -> Times:
    """Deploy once; return the seconds of each stage and until the new page answers."""
    app.commit(page, {"index.html": page})
    began = time.perf_counter()
    made = platform.api("POST", f"services/{NAME}/deployments", {})
    accepted = time.perf_counter()
    wait_for("127.0.0.1", platform.edge_port, f"{NAME}.localhost", page)
    answered = time.perf_counter()
    ended = until("it is live", lambda: _ended(platform, made["id"]))
    times = {"accept": accepted - began}
    last = datetime.fromisoformat(ended["created_at"])
    for stage in ended["stages"]:
        begun = datetime.fromisoformat(stage["started_at"])
        end = datetime.fromisoformat(stage["finished_at"])
        times[f"before {stage['name']}"] = (begun - last).total_seconds()
        times[stage["name"]] = (end - begun).total_seconds()
        last = end
    return {**times, "until it answers": answered - began}


def _ended(platform: Installation, id: str) -> dict[str, object] | None:
    found: dict[str, object] = platform.api("GET", f"deployments/{id}")
    assert found["status"] not in ("FAILED", "CANCELLED"), found
    return found if found["status"] == "LIVE" else None


class Raw:
    """The same with the command line of Docker, and nothing else."""

    def __init__(self, engine: DockerEngine, builder: str, registry: RegistryServer) -> None:
        self._engine = engine
        self._repository = f"127.0.0.1:{registry.port}/raw/{NAME}"
        self._builder = f"raw-builder-{uuid4().hex[:8]}"
        self._running = ""
        engine(
            "run", "--detach", "--privileged", "--name", self._builder, "--volume",
            "/var/lib/docker", "--tmpfs", "/run", "--memory", "2048m", "--cpus", "2", builder,
            "dockerd", "--host", "unix:///run/docker.sock", "--bridge", "none", "--iptables=false",
        )  # fmt: skip
        until("the raw builder is ready", self._ready)

    def _ready(self) -> bool:
        try:
            self._engine("exec", self._builder, "docker", "version")
        except BaseException:  # pytest's own failure is none of Exception
            return False
        return True

    def once(self, app: Repository, page: str) -> Times:
        """Build, push, run and ask; then remove the version before."""
        app.commit(page, {"index.html": page})
        engine, times = self._engine, Times()
        name = f"raw-{uuid4().hex[:8]}"

        def lap(what: str) -> None:
            nonlocal last
            times[what], last = time.perf_counter() - last, time.perf_counter()

        began = last = time.perf_counter()
        engine("cp", f"{app.folder}/.", f"{self._builder}:/context")
        engine(
            "exec", "--env", "DOCKER_BUILDKIT=1", self._builder, "docker", "build", "--quiet",
            "--tag", "raw", "/context",
        )  # fmt: skip
        lap("build")
        # From engine to engine, and from there to the registry: the builder cannot reach it.
        with tempfile.TemporaryFile() as archive:
            command = ["docker", "--host", engine.url]
            save = [*command, "exec", self._builder, "docker", "save", "raw"]
            subprocess.run(save, stdout=archive, check=True)
            archive.seek(0)
            loaded = subprocess.run(
                [*command, "load", "--quiet"], stdin=archive, capture_output=True, check=True
            )
        image = loaded.stdout.decode().rpartition(": ")[2].strip()
        engine("tag", image, self._repository)
        engine("push", "--quiet", self._repository)
        lap("push")
        engine("run", "--detach", "--name", name, "--memory", "512m", self._repository)
        found = json.loads(engine("inspect", name))[0]
        lap("start")
        wait_for(found["NetworkSettings"]["IPAddress"], 8080, NAME, page)
        lap("probe")
        times["until it answers"] = time.perf_counter() - began
        if self._running:
            engine("rm", "--force", self._running)
        self._running = name
        return times

    def close(self) -> None:
        for name in filter(None, (self._builder, self._running)):
            self._engine("rm", "--force", "--volumes", name)


def medians(runs: list[Times]) -> Times:
    return {name: statistics.median(run.get(name, 0.0) for run in runs) for name in runs[-1]}


def measure(folder: Path, repeats: int) -> tuple[Times, Times, Times]:
    """Return the first deployment, and the medians of the platform's and the raw ones."""
    (folder / "registry").mkdir()
    registry = RegistryServer(folder / "registry")
    registry.start()
    try:
        with running_engine() as engine:
            settings = docker_settings(engine)
            platform = Installation(folder / "home", **settings, HELVETIA_REGISTRY_URL=registry.url)
            raw = Raw(engine, settings["HELVETIA_DOCKER_BUILDER_IMAGE"], registry)
            try:
                platform.up()
                pages = (f"page {number}\n" for number in itertools.count(1))
                app = make_app(folder / "app")
                began = time.perf_counter()
                platform.run("deploy", str(app.folder), "--name", NAME)
                first = {"until it answers": time.perf_counter() - began}
                return first, *_both(platform, raw, app, pages, repeats)
            finally:
                raw.close()
                platform.tear_down()
                for one in engine("ps", "-aq").split():
                    engine("rm", "--force", "--volumes", one)
    finally:
        registry.kill()


def _both(
    platform: Installation, raw: Raw, app: Repository, pages: Iterator[str], repeats: int
) -> tuple[Times, Times]:
    """Take turns, so that what else the machine does is borne by both."""
    ours: list[Times] = []
    theirs: list[Times] = []
    through_the_platform(platform, app, next(pages))
    raw.once(app, next(pages))
    for _ in range(repeats):
        ours.append(through_the_platform(platform, app, next(pages)))
        theirs.append(raw.once(app, next(pages)))
    return medians(ours), medians(theirs)


def main(repeats: int) -> int:
    with tempfile.TemporaryDirectory(prefix="helvetia-bench-") as name:
        first, ours, raw = measure(Path(name), repeats)
    rows = [[what, seconds, raw.get(what, "")] for what, seconds in ours.items()]
    show(("stage", "Helvetia, s", "raw, s"), rows)
    total, beside = ours["until it answers"], raw["until it answers"]
    print(f"\nfirst deployment, cold: {first['until it answers']:.2f} s")
    print(f"redeploy: {total:.2f} s, {total / beside:.2f} times the raw sequence "
          f"(wanted: at most {RATIO} times and below {SECONDS:g} s)")  # fmt: skip
    return int(total > SECONDS or total > RATIO * beside)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 5))
