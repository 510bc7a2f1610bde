"""The registries for images keep what every registry promises."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from helvetia.testing import RegistryConformance, TestKernel
from tests.docker_engine import DockerEngine
from tests.registry.server import PASSWORD, USER, RegistryServer, registry_with_password


@pytest.fixture(scope="module")
def server() -> Iterator[RegistryServer]:
    with registry_with_password() as server:
        yield server


class TestOci(RegistryConformance):
    factory = "helvetia.plugins.registry.oci:helvetia_registries"

    @pytest.fixture
    def kernel(self, tmp_path: Path, server: RegistryServer) -> TestKernel:
        registry = {"url": server.url, "username": USER, "password": PASSWORD}
        kernel = TestKernel(tmp_path / "home")
        kernel.settings = {"registry": {**registry, "prefix": kernel.installation}}
        return kernel


class TestEngine(RegistryConformance):
    factory = "helvetia.plugins.registry.engine:helvetia_registries"

    @pytest.fixture
    def kernel(self, tmp_path: Path, docker_engine: DockerEngine) -> TestKernel:
        return TestKernel(tmp_path / "home", {"docker": {"host": docker_engine.url}})

    async def clean(self, provider: Any) -> None:
        for service in ("service-1", "service-2"):
            for digest in await provider.list(service):
                await provider.delete(service, digest)
