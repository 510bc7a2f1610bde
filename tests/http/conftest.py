from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from http_support import World, make_home, open_platform, populate, serve


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with all tables, made once by the real migrations."""
    return make_home(tmp_path_factory.mktemp("http"))


@pytest.fixture
async def world(migrated: Path, tmp_path: Path) -> AsyncIterator[World]:
    home = shutil.copytree(migrated, tmp_path / "home")
    async with open_platform(home) as platform, serve(platform) as world:
        yield world


@pytest.fixture
async def either(database_url: str, tmp_path: Path) -> AsyncIterator[World]:
    """The same over SQLite and PostgreSQL."""
    async with (
        open_platform(tmp_path / "home", HELVETIA_DATABASE_URL=database_url) as platform,
        serve(platform) as world,
    ):
        await populate()
        yield world
