"""SQLite engine whose transactions survive a cancelled task and a second process.

Tortoise's own begins transactions deferred (two processes then fail with "database is locked")
and keeps its lock for ever when a task is cancelled while a transaction begins.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Coroutine
from typing import Any

from tortoise.backends.sqlite.client import (
    SqliteClient,
    SqliteTransactionContext,
    SqliteTransactionWrapper,
)
from tortoise.connection import get_connections
from tortoise.exceptions import OperationalError


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
    """The guarded client."""

    def _in_transaction(self) -> Any:
        return _TransactionContext(_Transaction(self), self._lock)


client_class = Client
