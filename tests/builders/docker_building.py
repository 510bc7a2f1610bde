"""What the tests of the builder `docker` share: real builders in a real engine."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from helvetia.plugins.builders.docker.builder import DockerBuilder
from helvetia.testing import TestKernel
from tests.docker_engine import DockerEngine

from . import docker_image

BUSYBOX = Path("/bin/busybox").read_bytes()
# All that a build needs: no image can be pulled here.
BASE = """\
FROM scratch AS base
COPY busybox /bin/busybox
COPY busybox /bin/sh
RUN ["/bin/busybox", "--install", "/bin"]
"""
Make = Callable[..., DockerBuilder]


def files(*dockerfile: str, **more: str | bytes) -> dict[str, str | bytes]:
    return {"busybox": BUSYBOX, "Dockerfile": BASE + "\n".join(dockerfile) + "\n", **more}


@pytest.fixture(scope="session")
def builder_image(docker_engine: DockerEngine) -> str:
    """The image with an engine in it, in the engine of the tests."""
    return docker_image.builder_image(docker_engine)


@pytest.fixture
def installation(docker_engine: DockerEngine) -> Iterator[str]:
    """An installation of which nothing but caches is left when a test has ended."""
    name = uuid4().hex[:12]
    yield name
    left = everything(docker_engine, name)
    mine = f"label=helvetia.installation={name}"
    for one in docker_engine("ps", "-aq", "--filter", mine).split():
        docker_engine("rm", "--force", "--volumes", one)
    for kind in ("network", "volume"):
        for one in docker_engine(kind, "ls", "-q", "--filter", mine).split():
            docker_engine(kind, "rm", one)
    assert not left


def everything(engine: DockerEngine, installation: str) -> list[str]:
    """Return what an installation has in the engine beside its caches."""
    mine = f"label=helvetia.installation={installation}"
    return [
        *engine("ps", "-aq", "--filter", mine).split(),
        *engine("network", "ls", "-q", "--filter", mine).split(),
    ]


def caches(engine: DockerEngine, installation: str) -> list[str]:
    mine = f"label=helvetia.installation={installation}"
    return engine("volume", "ls", "-q", "--filter", mine).split()


@pytest.fixture
async def make(
    docker_engine: DockerEngine, builder_image: str, installation: str, tmp_path: Path
) -> AsyncIterator[Make]:
    """A builder whose engines end with each build, unless a test says otherwise."""
    made: list[DockerBuilder] = []

    def make(**settings: Any) -> DockerBuilder:
        own = {"image": builder_image, "disk_mb": 1024, "warm_seconds": 0, **settings}
        kernel = TestKernel(
            tmp_path / "home",
            {"docker": docker_engine.settings, "docker_builder": own},
            installation=installation,
        )
        made.append(DockerBuilder(kernel))
        return made[-1]

    yield make
    for builder in made:
        await builder.close()
