"""compose.yaml as it is, started by Docker's own program."""

from __future__ import annotations

import http.client
import json
import os
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.docker_engine import DockerEngine, running_engine

from .boxed import DOCKERFILE, docker_settings, lay_busybox
from .composing import compose_program, make_images
from .harness import HELVETIA, free_port, until

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.long,
    pytest.mark.timeout(1800),
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can start a Docker engine"),
]

ROOT = Path(__file__).parents[2]
NAME = "shop"
_HELD_SECONDS = 4
# Answers once somebody lays the file `/go` into its container.
_WAIT = """\
#!/bin/sh
while [ ! -e /go ]; do /bin/busybox sleep 0.1; done
printf 'Content-Type: text/plain\\r\\n\\r\\nwaited'
"""
_RECIPE = DOCKERFILE.replace("EXPOSE", "COPY busybox /bin/sh\nCOPY wait /www/cgi-bin/wait\nEXPOSE")


class Composed:
    """The project of compose.yaml in an engine of its own.

    What is peculiar to this machine is in a second file: where the engine's socket is, and the
    image to build in.
    """

    def __init__(self, folder: Path, engine: DockerEngine) -> None:
        self.engine, self._home = engine, folder / "laptop"
        ports = {name: free_port() for name in ("POSTGRES", "REDIS", "REGISTRY", "TRAEFIK")}
        self.http, self.edge = free_port(), free_port()
        # So long that nothing is cut off by it where the machine is slow.
        settings = docker_settings(engine) | {"HELVETIA_DRAIN_SECONDS": "300"}
        del settings["HELVETIA_DOCKER_HOST"]
        socket = f"{engine.socket}:/var/run/docker.sock"
        ours = {"environment": settings, "volumes": [socket]}
        changes = folder / "changes.yaml"
        changes.write_text(yaml.safe_dump({"services": {"web": ours, "worker": ours}}))
        variables = folder / ".env"
        given = {
            "POSTGRES_PASSWORD": "abc123",
            "HELVETIA_HTTP": f"127.0.0.1:{self.http}",
            "HELVETIA_EDGE": f"127.0.0.1:{self.edge}",
            **{f"{name}_PORT": port for name, port in ports.items()},
        }
        variables.write_text("".join(f"{name}={value}\n" for name, value in given.items()))
        self._command = [
            str(compose_program()), "--project-directory", str(ROOT), "--file",
            str(ROOT / "compose.yaml"), "--file", str(changes), "--env-file", str(variables),
        ]  # fmt: skip
        path = os.environ["PATH"]
        # The engine here has no BuildKit plugin; the Dockerfile needs none.
        self._environment = {
            "PATH": path, "HOME": str(folder), "DOCKER_HOST": engine.url, "DOCKER_BUILDKIT": "0",
        }  # fmt: skip

    def __call__(self, *words: str, seconds: float = 300) -> str:
        done = subprocess.run(
            [*self._command, *words], env=self._environment, stdin=subprocess.DEVNULL,
            capture_output=True, text=True, timeout=seconds,
        )  # fmt: skip
        if done.returncode:
            logs = [*self._command, "logs", "--tail=40"]
            said = subprocess.run(logs, env=self._environment, capture_output=True, text=True)
            pytest.fail(f"compose {' '.join(words)}: {done.stderr[-6000:]}\n{said.stdout[-8000:]}")
        return done.stdout

    def inside(self, *words: str) -> Any:
        """Run a command in the container of the control plane, and return its document."""
        return json.loads(self("exec", "--no-TTY", "web", "helvetia", *words, "--json"))

    def workers(self) -> list[Any]:
        found: list[Any] = self.inside("workers")
        return found

    def sign_in(self) -> None:
        """Get a token as docs/production.md says, for a command on another machine."""
        self._token = self.inside("token", "create", "laptop")["token"]

    def run(self, *words: str) -> Any:
        """Run a command as on a machine that has nothing but the token."""
        environment = {
            "PATH": os.environ["PATH"], "HELVETIA_HOME": str(self._home),
            "HELVETIA_URL": f"http://127.0.0.1:{self.http}", "HELVETIA_TOKEN": self._token,
        }  # fmt: skip
        done = subprocess.run(
            [HELVETIA, *words, "--json"], env=environment, stdin=subprocess.DEVNULL,
            capture_output=True, text=True, timeout=300,
        )  # fmt: skip
        if done.returncode:
            said = self("logs", "--tail=40", "web", "worker")
            pytest.fail(f"helvetia {' '.join(words)}: {done.stderr}\n{said[-8000:]}")
        return json.loads(done.stdout)

    def get(self, path: str = "/", *, seconds: float = 300) -> tuple[int, str]:
        """Ask the service through Traefik."""
        connection = http.client.HTTPConnection("127.0.0.1", self.edge, timeout=seconds)
        try:
            connection.request("GET", path, headers={"Host": f"{NAME}.localhost"})
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        finally:
            connection.close()

    def await_page(self, page: str) -> None:
        until(f"{page} is served", lambda: self.get(seconds=5) == (200, page), seconds=180)

    def instances(self) -> list[str]:
        """Return the containers of services."""
        return self.engine("ps", "-q", "--filter", "label=helvetia.kind=instance").split()


@pytest.fixture(scope="module")
def composed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Composed]:
    folder = tmp_path_factory.mktemp("compose")
    with running_engine() as engine:
        make_images(engine)
        # As an operator would, but that the machine's own index of packages is read.
        engine("build", "--quiet", "--network=host", "--tag", "helvetia:0.1.0", str(ROOT))
        composed = Composed(folder, engine)
        try:
            yield composed
        finally:
            composed("down", "--volumes", "--timeout", "20")


def test_it_starts_and_is_healthy(composed: Composed) -> None:
    composed("up", "--detach", "--wait", "--no-build", seconds=400)
    listed = [json.loads(line) for line in composed("ps", "--format", "json").splitlines()]
    health = {one["Service"]: one["Health"] for one in listed}
    names = {"web", "worker", "postgres", "redis", "registry", "traefik"}
    assert health.keys() == names
    assert {health[name] for name in names - {"worker"}} == {"healthy"}
    assert len([one for one in listed if one["Service"] == "worker"]) == 2
    assert "first sign-in" in composed("logs", "web")
    composed("exec", "--no-TTY", "web", "helvetia", "doctor")
    until("the workers are there", lambda: len(composed.workers()) == 2, seconds=60)


def test_what_is_deployed_through_it_is_replaced_and_outlives_it(
    composed: Composed, tmp_path: Path
) -> None:
    composed("up", "--detach", "--wait", "--no-build", seconds=400)
    composed.sign_in()
    app = lay_busybox(tmp_path / NAME)
    (app / "Dockerfile").write_text(_RECIPE)
    (app / "wait").write_text(_WAIT)
    (app / "wait").chmod(0o755)

    def deploy(page: str) -> Any:
        (app / "index.html").write_text(page)
        return composed.run("deploy", str(app), "--name", NAME)

    deploy("first")
    composed.await_page("first")

    # A request that the former version still answers is waited for.
    (former,) = composed.instances()
    with ThreadPoolExecutor() as pool:
        held = pool.submit(composed.get, "/cgi-bin/wait")
        second = pool.submit(deploy, "second")
        try:
            composed.await_page("second")
            done, _ = wait([held], timeout=_HELD_SECONDS)
            assert not done, held.result()
        finally:
            composed.engine("exec", former, "/bin/busybox", "touch", "/go")
        assert held.result() == (200, "waited")
        receipt = second.result()["receipt"]
    assert receipt["failed"] == 0
    assert receipt["requests"] > 0, "Traefik does not count the requests of a release"

    # The platform may go and come as it likes.
    served = composed.instances()
    assert len(served) == 1
    composed("restart", "--timeout", "20")
    composed.await_page("second")
    composed("down", "--timeout", "20")
    assert composed.instances() == served
    composed("up", "--detach", "--wait", "--no-build", seconds=400)
    composed.await_page("second")
    assert composed.instances() == served

    deploy("third")
    composed.await_page("third")
    (service,) = composed.run("services")
    assert (service["status"], service["status_reason"]) == ("ACTIVE", "")
    ended = [one["status"] for one in composed.run("deployments", NAME)]
    assert ended == ["LIVE"] * 3
    until("the former ones are gone", lambda: len(composed.instances()) == 1)
