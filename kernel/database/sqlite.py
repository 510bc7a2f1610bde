"""SQLite engine whose transactions survive a cancelled task and a second process.

Tortoise's own begins transactions deferred (two processes then fail with "database is locked")
and keeps its lock for ever when a task is cancelled while a transaction begins.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Coroutine
from contextlib import closing
from pathlib import Path
from typing import Any

from tortoise.backends.sqlite.client import (
    SqliteClient,
    SqliteTransactionContext,
    SqliteTransactionWrapper,
)
from tortoise.connection import get_connections
from tortoise.exceptions import OperationalError

_MOST_KEPT = 64
"""Answers to questions that are kept until the next commit."""


async def to_the_end(work: Coroutine[Any, Any, Any]) -> asyncio.CancelledError | None:
    """Run `work` to its end even if the caller is cancelled meanwhile.

    Returns:
        The cancellation that came meanwhile, for the caller to raise again.

    Raises:
        Exception: what `work` raised.
    """
    task = asyncio.ensure_future(work)
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError as error:
            if task.cancelled():
                raise
            cancelled = error
        except Exception:
            break
    task.result()
    return cancelled


class _Transaction(SqliteTransactionWrapper):
    async def begin(self) -> None:
        try:
            await self._connection.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError as error:
            raise OperationalError(error) from error


class _TransactionContext(SqliteTransactionContext):
    async def __aenter__(self) -> Any:
        await self._trxlock.acquire()
        token = None
        try:
            await self.ensure_connection()
            self.token = token = get_connections().set(self.connection_name, self.connection)
            cancelled = await to_the_end(self.connection.begin())
            if cancelled is not None:
                await to_the_end(self.connection.rollback())
                raise cancelled
        except BaseException:
            if token is not None:
                get_connections().reset(token)
            self._trxlock.release()
            raise
        return self.connection

    async def __aexit__(self, kind: Any, value: Any, traceback: Any) -> None:
        try:
            if not self.connection._finalized:
                end = self.connection.rollback() if kind else self.connection.commit()
                cancelled = await to_the_end(end)
                if cancelled is not None:
                    raise cancelled
        finally:
            get_connections().reset(self.token)
            self._trxlock.release()


class Client(SqliteClient):
    """The guarded client, with a second connection for what is read at every request."""

    _reader: sqlite3.Connection | None = None
    _kept: dict[tuple[object, ...], list[dict[str, Any]]]
    _kept_version: object = None

    def _in_transaction(self) -> Any:
        return _TransactionContext(_Transaction(self), self._lock)

    async def execute_small_query(self, sql: str, *values: object) -> list[dict[str, Any]]:
        """Return the rows of a query by index, without the way to a thread and back.

        The way costs ten times what such a query does (`bench api`), and waits for transactions;
        a reader of a write-ahead log waits for nobody, and what it reads is in memory. Until
        anybody commits, whoever asks the same again gets the same list, not to be changed.
        """
        try:
            return self._read(sql, *values)
        except sqlite3.OperationalError:
            # Another process recovers the log at this moment: that is worth the way.
            rows: list[dict[str, Any]] = await self.execute_query_dict(sql, list(values))
            return rows

    def _read(self, *question: Any) -> list[dict[str, Any]]:
        if self._reader is None:
            uri = f"{Path(self.filename).absolute().as_uri()}?mode=ro"
            self._reader = sqlite3.connect(uri, uri=True, timeout=0, isolation_level=None)
        # It changes with every commit of another connection, in this process or not.
        version = self._reader.execute("PRAGMA data_version").fetchone()
        if version != self._kept_version or len(self._kept) >= _MOST_KEPT:
            self._kept, self._kept_version = {}, version
        if (rows := self._kept.get(question)) is None:
            sql, *values = question
            with closing(self._reader.execute(sql, values)) as cursor:
                # `sqlite3.Row` looks for each of its names in all of them.
                names = [column[0] for column in cursor.description]
                rows = [dict(zip(names, row, strict=True)) for row in cursor]
            self._kept[question] = rows
        return rows

    async def close(self) -> None:
        """Close both connections."""
        if self._reader is not None:
            self._reader.close()
            self._reader = None
            self._kept_version = None
        await super().close()


client_class = Client
