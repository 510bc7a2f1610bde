"""compose.yaml as it is, started by Docker's own program."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.docker_engine import DockerEngine, running_engine

from .boxed import docker_settings
from .composing import compose_program, make_images
from .harness import free_port, until

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.long,
    pytest.mark.timeout(1800),
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can start a Docker engine"),
]

ROOT = Path(__file__).parents[2]


class Composed:
    """The project of compose.yaml in an engine of its own.

    What is peculiar to this machine is in a second file: where the engine's socket is, and the
    image to build in.
    """

    def __init__(self, folder: Path, engine: DockerEngine) -> None:
        ports = {name: free_port() for name in ("POSTGRES", "REDIS", "REGISTRY", "TRAEFIK")}
        self.http, self.edge = free_port(), free_port()
        settings = docker_settings(engine)
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

    def workers(self) -> list[Any]:
        said = self("exec", "--no-TTY", "web", "helvetia", "workers", "--json")
        found: list[Any] = json.loads(said)
        return found


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
