"""Platforms on databases of each kind, whose tables are made once for many tests."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from uuid import uuid4

import asyncpg
import pytest

from helvetia.kernel.platform import Platform
from helvetia.kernel.settings import Settings


@contextlib.asynccontextmanager
async def open_platform(home: Path, **environment: str) -> AsyncIterator[Platform]:
    """Open a platform without a worker."""
    platform = Platform(Settings(home, environment))
    await platform.open()
    try:
        yield platform
    finally:
        await platform.close()


def migrate(home: Path, **environment: str) -> Path:
    """Make all tables, by the real migrations."""

    async def make() -> None:
        async with open_platform(home, **environment):
            pass

    with ThreadPoolExecutor(1) as thread:
        thread.submit(lambda: asyncio.run(make())).result()
    return home


@pytest.fixture(scope="session")
def migrated_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with all tables in SQLite."""
    return migrate(tmp_path_factory.mktemp("migrated"))


@pytest.fixture(scope="session")
def migrated_postgres(postgres_server: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The name of a PostgreSQL database with all tables, to be copied."""
    name = f"template_{uuid4().hex[:12]}"

    async def create() -> None:
        connection = await asyncpg.connect(f"{postgres_server}/postgres")
        await connection.execute(f'CREATE DATABASE "{name}"')
        await connection.close()

    with ThreadPoolExecutor(1) as thread:
        thread.submit(lambda: asyncio.run(create())).result()
    home = tmp_path_factory.mktemp("migrated-postgres")
    migrate(home, DATABASE_URL=f"{postgres_server}/{name}")
    return name


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
async def platform(
    request: pytest.FixtureRequest, migrated_home: Path, tmp_path: Path
) -> AsyncIterator[Platform]:
    """A platform without a worker, on a database of each kind."""
    home = shutil.copytree(migrated_home, tmp_path / "home")
    environment = {}
    if request.param == "postgres":
        server: str = request.getfixturevalue("postgres_server")
        template: str = request.getfixturevalue("migrated_postgres")
        name = f"test_{uuid4().hex[:12]}"
        connection = await asyncpg.connect(f"{server}/postgres")
        await connection.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
        await connection.close()
        environment["DATABASE_URL"] = f"{server}/{name}"
    async with open_platform(home, **environment) as platform:
        yield platform
