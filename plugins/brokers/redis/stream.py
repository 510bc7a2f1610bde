"""The Redis stream behind the doorbell, with what a doorbell needs of taskiq-redis only."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from taskiq import AckableMessage, AsyncBroker, BrokerMessage
from taskiq_redis import RedisStreamBroker

from .reaching import FAILURES, Reach

_BLOCK_SECONDS = 5.0
_SPARE_SECONDS = 5.0
_CONNECT_SECONDS = 2.0
_CLOSE_SECONDS = 1.0
_LONGEST = 1000


class DoorbellStream(RedisStreamBroker):
    """One stream with one group: each message wakes one worker that has time for it.

    A message that is lost costs a second, because workers look into the database anyway. So
    none is acknowledged, claimed again or kept for a worker that died: nothing is delivered
    twice after ten minutes, nothing heaps up, and the stream is trimmed.
    """

    def __init__(self, url: str, *, name: str, reach: Reach) -> None:
        super().__init__(
            url,
            queue_name=name,
            consumer_group_name="workers",
            # One name for all: those of dead workers would stay in the group for ever.
            consumer_name="worker",
            # Not `$`: what was sent before the group was made counts.
            consumer_id="0",
            xread_block=int(_BLOCK_SECONDS * 1000),
            # More would be hoarded by one worker while the others are idle.
            xread_count=1,
            maxlen=_LONGEST,
            # With one, redis-py on Python 3.11 swallows the cancellation at the end.
            socket_timeout=None,
            socket_connect_timeout=_CONNECT_SECONDS,
            # The first command on a connection that a restart has cut gets a second chance.
            retry=Retry(NoBackoff(), 1),
        )
        self._reach = reach

    async def startup(self) -> None:
        """Begin without asking the server: it may come later."""
        await AsyncBroker.startup(self)

    async def shutdown(self) -> None:
        """Close the connections, also those to a server that does not answer any more."""
        try:
            async with asyncio.timeout(_CLOSE_SECONDS):
                await super().shutdown()
        except FAILURES:
            pass

    async def kick(self, message: BrokerMessage) -> None:
        """Send a message."""
        try:
            await super().kick(message)
        except FAILURES as error:
            self._reach.lost(error)
            raise
        self._reach.found()

    async def listen(self) -> AsyncGenerator[AckableMessage, None]:
        """Yield messages, through all absences of the server."""
        async for data in self._reach.forever(self._read):
            yield AckableMessage(data=data, ack=_nothing)

    async def _read(self) -> AsyncGenerator[bytes | None, None]:
        async with Redis(connection_pool=self.connection_pool) as redis:
            async with asyncio.timeout(_SPARE_SECONDS):
                # Each time: a server that has lost its data has lost the group, too.
                await self._declare_consumer_group()
            yield None
            while True:
                # A server that vanished without a word is given up, too.
                async with asyncio.timeout(_BLOCK_SECONDS + _SPARE_SECONDS):
                    fetched: Any = await redis.xreadgroup(
                        self.consumer_group_name,
                        self.consumer_name,
                        {self.queue_name: ">"},
                        count=self.count,
                        block=self.block,
                        noack=True,
                    )
                yield None
                for _, messages in fetched or ():
                    for _, fields in messages:
                        yield fields.get(b"data", b"")


async def _nothing() -> None:
    """Acknowledge what was never pending."""
