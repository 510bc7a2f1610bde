"""The builder `buildah` keeps what every builder promises, with a real engine."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from uuid import uuid4

import pytest

from helvetia.testing import BuilderConformance, TestKernel
from tests.builders.docker_image import builder_archive
from tests.docker_engine import DockerEngine


@pytest.fixture(scope="module")
def builder_image(docker_engine: DockerEngine) -> str:
    name = f"buildah-{uuid4().hex[:8]}:1"
    docker_engine("import", str(builder_archive("buildah")), name)
    return name


class TestBuildah(BuilderConformance):
    factory = "helvetia.plugins.builders.buildah:helvetia_builders"

    @pytest.fixture
    def kernel(self, tmp_path: Path, docker_engine: DockerEngine, builder_image: str) -> TestKernel:
        return TestKernel(
            tmp_path / "home",
            {"docker": docker_engine.settings, "buildah": {"image": builder_image}},
        )

    @pytest.fixture
    def project(self) -> Mapping[str, str]:
        return {"Dockerfile": 'FROM scratch\nCOPY page /page\nCMD ["/page"]\n', "page": "hello\n"}

    @pytest.fixture
    def broken(self) -> Mapping[str, Mapping[str, str]]:
        return {
            "a file that is not there": {"Dockerfile": "FROM scratch\nCOPY missing /x\n"},
            "an instruction that does not exist": {"Dockerfile": "FROM scratch\nBAKE bread\n"},
        }
