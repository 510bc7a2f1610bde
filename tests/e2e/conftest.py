from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from .harness import Installation, Repository, running


@pytest.fixture
def installation(tmp_path: Path) -> Iterator[Installation]:
    """One that is not up yet."""
    installation = Installation(tmp_path / "home")
    try:
        yield installation
    finally:
        installation.tear_down()


@pytest.fixture
def platform(installation: Installation) -> Installation:
    installation.up()
    return installation


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    with running(Installation(tmp_path_factory.mktemp("shared") / "home")) as installation:
        yield installation


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository(tmp_path / "repository")
