"""The runtime `docker` keeps what every runtime promises, with a real engine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from helvetia import OCI_IMAGE, Artifact
from helvetia.testing import RuntimeConformance, TestKernel, program
from helvetia.testing.runtime import ROLES
from tests.docker_engine import DockerEngine


@pytest.fixture(scope="module")
def image(docker_engine: DockerEngine, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The id of an image with the sample program."""
    folder = tmp_path_factory.mktemp("image")
    (folder / "program.py").write_bytes(Path(program.__file__).read_bytes())
    (folder / "Dockerfile").write_text(
        f"FROM {docker_engine.python}\nWORKDIR /app\nCOPY program.py .\n"
    )
    return docker_engine("build", "--quiet", str(folder))


class TestDocker(RuntimeConformance):
    factory = "helvetia.plugins.runtimes.docker:helvetia_runtimes"

    @pytest.fixture
    def kernel(self, tmp_path: Path, docker_engine: DockerEngine) -> TestKernel:
        return TestKernel(tmp_path / "home", {"docker": docker_engine.settings})

    @pytest.fixture
    def artifact(self, provider: Any, image: str) -> Artifact:
        processes = {role: ["{python}", "program.py", role] for role in ROLES}
        processes["nothing"] = ["no-such-program-anywhere"]
        return Artifact(kind=OCI_IMAGE, location=image, processes=processes)

    @pytest.fixture(autouse=True)
    def reachable(self, docker_engine: DockerEngine) -> None:
        self.lifeline_host = docker_engine.gateway
        self.settings = {"docker": docker_engine.settings}
