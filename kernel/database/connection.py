"""Open, migrate and close the database."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import gc
import hashlib
from collections.abc import AsyncIterator, Iterable
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from typing import Any
from urllib.parse import unquote, urlsplit

from tortoise import Tortoise, connections
from tortoise.context import TortoiseContext
from tortoise.exceptions import OperationalError

from helvetia.kernel.errors import SettingsError
from helvetia.kernel.hookspecs import ModelApp

_KERNEL = ModelApp(
    label="kernel", models="helvetia.kernel.models", migrations="helvetia.kernel.migrations"
)
_MIGRATION_LOCK = int.from_bytes(hashlib.sha256(b"helvetia migrations").digest()[:7], "big")


class Database:
    """One database and the tables of the kernel and the plugins.

    Args:
        url: `sqlite:///path`, or `postgres://user:password@host:port/name`.
        apps: tables of plugins; the kernel's come first.
    """

    def __init__(self, url: str, apps: Iterable[ModelApp] = ()) -> None:
        self._parts = urlsplit(url)
        self._apps = (_KERNEL, *apps)
        self._context: TortoiseContext | None = None
        if self._parts.scheme not in ("sqlite", "postgres", "postgresql"):
            raise SettingsError(
                f"DATABASE_URL: unknown kind `{self._parts.scheme}`",
                hint="use sqlite:///path/to/file or postgres://user:password@host:port/name",
            )

    @property
    def is_sqlite(self) -> bool:
        """Whether the database is a file."""
        return self._parts.scheme == "sqlite"

    @property
    def _name(self) -> str:
        # Tortoise keeps prepared statements by connection name, for all databases of a process.
        return "sqlite" if self.is_sqlite else "postgres"

    @property
    def _file(self) -> Path:
        return Path(unquote(self._parts.path))

    def _config(self, *, foreign_keys: bool = True) -> dict[str, Any]:
        if self.is_sqlite:
            connection = {
                "engine": "helvetia.kernel.database.sqlite",
                "credentials": {
                    "file_path": str(self._file),
                    "busy_timeout": 20000,
                    "synchronous": "NORMAL",
                    "foreign_keys": "ON" if foreign_keys else "OFF",
                },
            }
        else:
            connection = {
                "engine": "helvetia.kernel.database.postgres",
                "credentials": {
                    "host": self._parts.hostname or "127.0.0.1",
                    "port": self._parts.port or 5432,
                    "user": unquote(self._parts.username or ""),
                    "password": unquote(self._parts.password or ""),
                    "database": self._parts.path.lstrip("/"),
                    "minsize": 1,
                    "maxsize": 10,
                    "command_timeout": 60,
                },
            }
        return {
            "connections": {self._name: connection},
            "apps": {
                app.label: {
                    "models": [app.models],
                    "migrations": app.migrations,
                    "default_connection": self._name,
                }
                for app in self._apps
            },
            "use_tz": True,
            "timezone": "UTC",
        }

    async def open_migrated(self) -> None:
        """Connect, after the tables were brought up to date if they are not."""
        if self.is_sqlite and not self._file.exists():
            await self.migrate()
        await self.open()
        if not await self._is_migrated():
            await self.close()
            await self.migrate()
            await self.open()

    async def _is_migrated(self) -> bool:
        """Tell whether every migration is noted as applied, which costs far less than to plan."""
        connection = connections.get(self._name)
        try:
            rows = await connection.execute_query_dict("SELECT app, name FROM tortoise_migrations")
        except OperationalError as error:
            if "tortoise_migrations" not in str(error):
                raise
            return False  # it is empty
        there = {
            (app.label, module.name)
            for app in self._apps
            for module in iter_modules(import_module(app.migrations).__path__)
            if not module.name.startswith("_")
        }
        return there <= {(row["app"], row["name"]) for row in rows}

    async def migrate(self) -> None:
        """Bring the tables up to date. Safe to call from several processes at once.

        Foreign keys are off meanwhile on SQLite: its table rebuilds would cascade deletes.
        """
        # Imported when needed: there are far more starts than migrations.
        from tortoise.migrations.api import migrate

        # The command line turns it off while it loads; but each step leaves copies of all models.
        gc.enable()
        async with self._migration_lock(), TortoiseContext():
            await migrate(config=self._config(foreign_keys=False))
            if self.is_sqlite:
                broken = await connections.get(self._name).execute_query_dict(
                    "PRAGMA foreign_key_check"
                )
                if broken:
                    raise SettingsError(f"the database has dangling references: {broken[:3]}")
            await Tortoise.close_connections()

    @contextlib.asynccontextmanager
    async def _migration_lock(self) -> AsyncIterator[None]:
        if self.is_sqlite:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            with self._file.with_name(self._file.name + ".migrate").open("w") as lock:
                await asyncio.to_thread(fcntl.flock, lock, fcntl.LOCK_EX)
                yield
            return
        credentials = self._config()["connections"][self._name]["credentials"]
        import asyncpg

        connection = await asyncpg.connect(
            **{key: credentials[key] for key in ("host", "port", "user", "password", "database")}
        )
        try:
            await connection.execute("SELECT pg_advisory_lock($1)", _MIGRATION_LOCK)
            yield
        finally:
            await connection.close()

    async def open(self) -> None:
        """Connect. Tasks made by the calling task from now on see the database."""
        self._context = TortoiseContext()
        self._context.__enter__()
        await self._context.init(config=self._config())

    async def close(self) -> None:
        """Disconnect."""
        if self._context is not None:
            await self._context.close_connections()
            self._context.__exit__(None, None, None)
            self._context = None
