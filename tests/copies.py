"""New databases of tests are copies of one that was migrated: the migrations take a second."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import tempfile
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import pytest

from helvetia.kernel.database import Database

_TABLES = "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"


class Copies:
    """Brings a database that is empty up to date by copying; any other by the migrations."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def migrate(self, database: Database) -> None:
        if database.is_sqlite:
            await self._copy_file(database)
        elif (url := urlsplit(_url(database))).path:
            with contextlib.suppress(asyncpg.PostgresError, OSError):
                await self._copy_database(database, url.path.lstrip("/"))
        await database.migrate()

    async def _copy_file(self, database: Database) -> None:
        if database._file.exists():
            return
        template = self._folder / f"{_key(database)}.db"
        if not template.exists():
            await Database(f"sqlite://{template}", database._apps[1:]).migrate()
            assert not template.with_name(f"{template.name}-wal").exists()
        database._file.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=database._file.parent) as folder:
            copy = shutil.copy(template, folder)
            # Somebody else may be about to make it as well.
            with contextlib.suppress(FileExistsError):
                os.link(copy, database._file)

    async def _copy_database(self, database: Database, name: str) -> None:
        url = _url(database)
        server = url.removesuffix(name)
        connection = await asyncpg.connect(url)
        try:
            if await connection.fetchval(_TABLES):
                return
        finally:
            await connection.close()
        template = f"template_{_key(database)}"
        connection = await asyncpg.connect(f"{server}postgres")
        try:
            known = await connection.fetchval(
                "SELECT count(*) FROM pg_database WHERE datname = $1", template
            )
            if not known:
                await connection.execute(f'CREATE DATABASE "{template}"')
                await Database(f"{server}{template}", database._apps[1:]).migrate()
            await connection.execute(f'DROP DATABASE "{name}"')
            await connection.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
        finally:
            await connection.close()


def _url(database: Database) -> str:
    return database._parts.geturl()


def _key(database: Database) -> str:
    apps = repr([(app.label, app.models, app.migrations) for app in database._apps])
    return hashlib.sha256(apps.encode()).hexdigest()[:12]


@pytest.fixture(scope="session")
def copies(tmp_path_factory: pytest.TempPathFactory) -> Copies:
    """What makes new databases, of one kind each once by the real migrations."""
    return Copies(tmp_path_factory.mktemp("copies"))
