"""New databases of tests are copies of one that was migrated: the migrations take a second."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import pytest
from tortoise.migrations import api

from helvetia.kernel.database import Database

# The tests' own is put in its place: see `copies`.
_migrate = Database.migrate
_tortoise_migrate = api.migrate
_TABLES = "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"


class Copies:
    """Brings a database that is empty up to date by copying; any other by the migrations."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def migrate(self, database: Database) -> None:
        if api.migrate is not _tortoise_migrate:
            # A test is about migrations.
            is_made = False
        elif database.is_sqlite:
            is_made = await self._copy_file(database)
        else:
            is_made = False
            if (url := urlsplit(_url(database))).path:
                with contextlib.suppress(asyncpg.PostgresError, OSError):
                    is_made = await self._copy_database(database, url.path.lstrip("/"))
        if not is_made:
            await _migrate(database)

    async def _copy_file(self, database: Database) -> bool:
        if database._file.exists():
            return False
        template = self._folder / f"{_key(database)}.db"
        if not template.exists():
            await _migrate(Database(f"sqlite://{template}", database._apps[1:]))
            assert not template.with_name(f"{template.name}-wal").exists()
        database._file.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=database._file.parent) as folder:
            copy = shutil.copy(template, folder)
            # Somebody else may be about to make it as well.
            with contextlib.suppress(FileExistsError):
                os.link(copy, database._file)
                return True
        return False

    async def _copy_database(self, database: Database, name: str) -> bool:
        url = _url(database)
        server = url.removesuffix(name)
        client = await asyncpg.connect(url)
        try:
            if await client.fetchval(_TABLES):
                return False
        finally:
            await client.close()
        template = f"template_{_key(database)}"
        client = await asyncpg.connect(f"{server}postgres")
        try:
            known = await client.fetchval(
                "SELECT count(*) FROM pg_database WHERE datname = $1", template
            )
            if not known:
                await client.execute(f'CREATE DATABASE "{template}"')
                await _migrate(Database(f"{server}{template}", database._apps[1:]))
            await client.execute(f'DROP DATABASE "{name}"')
            await client.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
            return True
        finally:
            await client.close()


def _url(database: Database) -> str:
    return database._parts.geturl()


def _key(database: Database) -> str:
    apps = repr([(app.label, app.models, app.migrations) for app in database._apps])
    return hashlib.sha256(apps.encode()).hexdigest()[:12]


@pytest.fixture(scope="session", autouse=True)
def copies(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Have new databases, of one kind each, made once by the real migrations, then copied."""
    made = Copies(tmp_path_factory.mktemp("copies"))

    async def migrate(self: Database) -> None:
        await made.migrate(self)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Database, "migrate", migrate)
        yield
