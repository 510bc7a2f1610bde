"""The builders `docker` and `buildah` keep what every builder promises, with a real engine."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from helvetia.testing import BuilderConformance, TestKernel
from tests.builders.docker_image import builder_image
from tests.docker_engine import DockerEngine


class TestDocker(BuilderConformance):
    factory = "helvetia.plugins.builders.docker:helvetia_builders"
    builder, section = "docker", "docker_builder"

    @pytest.fixture
    def kernel(self, tmp_path: Path, docker_engine: DockerEngine) -> TestKernel:
        own = {"image": builder_image(docker_engine, self.builder)}
        return TestKernel(tmp_path / "home", {"docker": docker_engine.settings, self.section: own})

    @pytest.fixture
    def project(self) -> Mapping[str, str]:
        return {"Dockerfile": 'FROM scratch\nCOPY page /page\nCMD ["/page"]\n', "page": "hello\n"}

    @pytest.fixture
    def broken(self) -> Mapping[str, Mapping[str, str]]:
        return {
            "a file that is not there": {"Dockerfile": "FROM scratch\nCOPY missing /x\n"},
            "an instruction that does not exist": {"Dockerfile": "FROM scratch\nBAKE bread\n"},
        }


@pytest.mark.long
class TestBuildah(TestDocker):
    factory = "helvetia.plugins.builders.buildah:helvetia_builders"
    builder, section = "buildah", "buildah"
