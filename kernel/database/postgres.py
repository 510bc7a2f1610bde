"""PostgreSQL engine whose pool gets a connection back when a task is cancelled at BEGIN."""

from __future__ import annotations

import asyncio
from typing import Any

import asyncpg
from tortoise.backends.asyncpg.client import AsyncpgDBClient, TransactionWrapper
from tortoise.backends.base.client import TransactionContextPooled
from tortoise.connection import get_connections


class _TransactionContext(TransactionContextPooled):
    async def __aenter__(self) -> Any:
        await self.ensure_connection()
        client: Any = self.client
        pool = client._parent._pool
        client._connection = await pool.acquire()
        token = None
        try:
            self.token = token = get_connections().set(self.connection_name, client)
            await client.begin()
        except BaseException:
            if token is not None:
                get_connections().reset(token)
            await asyncio.shield(pool.release(client._connection))
            raise
        return client


async def _as_it_is(connection: object) -> None:
    """Reset nothing."""


class Client(AsyncpgDBClient):
    """The guarded client."""

    async def create_pool(self, **settings: Any) -> asyncpg.Pool:
        """Make the pool; nobody changes settings of a session, to reset them costs a round trip."""
        return await super().create_pool(reset=_as_it_is, **settings)

    def _in_transaction(self) -> Any:
        return _TransactionContext(TransactionWrapper(self), self._pool_init_lock)


client_class = Client
