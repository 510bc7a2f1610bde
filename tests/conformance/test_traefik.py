"""The router `traefik` keeps what every router promises, however it runs and finds instances."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from helvetia import Backend
from helvetia.testing import RouterConformance, TestKernel
from tests.docker_engine import DockerEngine
from tests.routers.containers import Containers, app_image
from tests.routers.foreign import ForeignTraefik, traefik_image


@pytest.fixture(scope="module")
def app(docker_engine: DockerEngine, tmp_path_factory: pytest.TempPathFactory) -> str:
    return app_image(docker_engine, tmp_path_factory.mktemp("app"))


@pytest.fixture(scope="module")
def traefik(docker_engine: DockerEngine) -> str:
    return traefik_image(docker_engine)


class TestTraefik(RouterConformance):
    factory = "helvetia.plugins.routers.traefik:helvetia_routers"


class TestLabels(RouterConformance):
    """Instances are containers, found by their labels."""

    factory = "helvetia.plugins.routers.traefik:helvetia_routers"

    @pytest.fixture(autouse=True)
    def docker(self, docker_engine: DockerEngine, app: str) -> None:
        self.settings = {"docker": docker_engine.settings}
        self.app = app

    @pytest_asyncio.fixture
    async def backends(self, ready: Any, kernel: TestKernel) -> AsyncIterator[dict[str, Backend]]:
        containers = Containers(kernel, ready, self.app)
        try:
            specs = [containers.spec(name, service="svc-conformance") for name in ("old", "new")]
            started = await asyncio.gather(*map(containers.start, specs))
            yield dict(zip(("old", "new"), started, strict=True))
        finally:
            await containers.close()

    async def test_found(self, ready: Any, kernel: TestKernel, old: Any) -> None:
        """Leads to what the labels declare, not to addresses."""
        await ready.activate(old)
        text = (kernel.home / "traefik" / "dynamic" / "svc-conformance.yml").read_text()
        assert "svc-conformance-old-1@docker" in text
        assert '"url"' not in text


class TestContainer(RouterConformance):
    factory = "helvetia.plugins.routers.traefik:helvetia_routers"

    @pytest.fixture(autouse=True)
    def docker(self, docker_engine: DockerEngine, traefik: str) -> None:
        self.settings = {
            "docker": docker_engine.settings,
            "traefik": {"run": "container", "image": traefik},
        }


class TestExisting(RouterConformance):
    """Somebody else's Traefik, which two installations share."""

    factory = "helvetia.plugins.routers.traefik:helvetia_routers"

    @pytest.fixture
    def kernel(self, tmp_path: Path) -> Iterator[TestKernel]:
        with ForeignTraefik(tmp_path / "foreign") as foreign:
            self.settings = {"traefik": foreign.settings}
            yield TestKernel(tmp_path / "home", self.settings, edge=foreign.edge)
