from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from http_support import World, open_platform, populate, serve


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with all tables, made once by the real migrations."""
    home = tmp_path_factory.mktemp("http")

    async def make() -> None:
        async with open_platform(home):
            await populate()

    with ThreadPoolExecutor(1) as thread:
        thread.submit(lambda: asyncio.run(make())).result()
    return home


@pytest.fixture
async def world(migrated: Path, tmp_path: Path) -> AsyncIterator[World]:
    home = shutil.copytree(migrated, tmp_path / "home")
    async with open_platform(home) as platform, serve(platform) as world:
        yield world
