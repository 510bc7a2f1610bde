from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from http_support import World, make_home, open_platform, serve


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with all tables, made once by the real migrations."""
    return make_home(tmp_path_factory.mktemp("http"))


@pytest.fixture
async def world(migrated: Path, tmp_path: Path) -> AsyncIterator[World]:
    home = shutil.copytree(migrated, tmp_path / "home")
    async with open_platform(home) as platform, serve(platform) as world:
        yield world
