"""The broker `redis`: a stream for doorbells, and a channel for news to everybody."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from urllib.parse import urlsplit

from redis.asyncio import Redis
from taskiq import AsyncBroker

from helvetia import Broker, Check

from .reaching import FAILURES, Reach
from .stream import DoorbellStream

_CHECK_SECONDS = 3.0
_QUIET_SECONDS = 15.0
_LATE_SECONDS = 5.0


class RedisBroker(Broker):
    """Rings by one Redis.

    Args:
        url: where it is.
        prefix: begins the names of all keys; of this installation only.
    """

    name = "redis"

    def __init__(self, url: str, *, prefix: str) -> None:
        self._reach = Reach(_shown(url))
        self._stream = DoorbellStream(url, name=f"{prefix}:deployments", reach=self._reach)
        self._channel = f"{prefix}:news"

    @property
    def queue(self) -> AsyncBroker:
        """The stream."""
        return self._stream

    async def check(self) -> Check:
        """Say whether Redis answers."""
        address = self._reach.address
        try:
            async with asyncio.timeout(_CHECK_SECONDS), self._redis() as redis:
                facts = await redis.info("server")
        except FAILURES as error:
            reason = str(error) or "no answer in time"
            return Check(ok=False, reason=f"Redis at {address} is away: {reason}")
        return Check(ok=True, reason=f"Redis {facts['redis_version']} at {address}")

    async def tell(self, news: str) -> None:
        """Publish something."""
        try:
            async with self._redis() as redis:
                await redis.publish(self._channel, news)
        except FAILURES as error:
            self._reach.lost(error)
            raise
        self._reach.found()

    async def hear(self) -> AsyncGenerator[str, None]:
        """Yield what is published, through all absences of the server."""
        async for news in self._reach.forever(self._subscribe):
            yield news

    async def _subscribe(self) -> AsyncGenerator[str | None, None]:
        async with self._redis() as redis, redis.pubsub() as channel:
            async with asyncio.timeout(_LATE_SECONDS):
                await channel.subscribe(self._channel)
            while True:
                message = await channel.get_message(timeout=_QUIET_SECONDS)
                if message is None:
                    # Is it quiet, or has the server vanished without a word?
                    async with asyncio.timeout(_LATE_SECONDS):
                        await channel.ping()
                        message = await channel.get_message(timeout=_LATE_SECONDS)
                    if message is None:
                        raise TimeoutError("it does not answer any more")
                is_news = message["type"] == "message"
                yield message["data"].decode(errors="replace") if is_news else None

    def _redis(self) -> Redis:
        return Redis(connection_pool=self._stream.connection_pool)


def _shown(url: str) -> str:
    """Return the server of a URL as people know it: without user and password."""
    parts = urlsplit(url)
    if parts.scheme == "unix":
        return parts.path
    host = parts.hostname or "localhost"
    return f"{f'[{host}]' if ':' in host else host}:{parts.port or 6379}"
