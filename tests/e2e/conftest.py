from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from .harness import Installation, Repository


@pytest.fixture
def platform(tmp_path: Path) -> Iterator[Installation]:
    installation = Installation(tmp_path / "home")
    try:
        installation.up()
        yield installation
    finally:
        installation.tear_down()


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    installation = Installation(tmp_path_factory.mktemp("shared") / "home")
    try:
        installation.up()
        yield installation
    finally:
        installation.tear_down()


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository(tmp_path / "repository")
