from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from tortoise.context import TortoiseContext

from helvetia.logs import LogHub, LogStore


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[LogStore]:
    async with TortoiseContext() as ctx:
        await ctx.init(
            db_url=f"sqlite://{tmp_path / 'logs.db'}",
            modules={"kernel": ["helvetia.logs.models"]},
        )
        await ctx.generate_schemas()
        yield LogStore()


@pytest.fixture
def hub(store: LogStore) -> LogHub:
    return LogHub(store, poll_seconds=0.05)


Until = Callable[[Callable[[], Awaitable[bool] | bool]], Awaitable[None]]


@pytest.fixture
def until() -> Until:
    """Wait until a condition holds, ten seconds at most."""

    async def wait(condition: Callable[[], Awaitable[bool] | bool]) -> None:
        async with asyncio.timeout(10):
            while True:
                answer = condition()
                if answer if isinstance(answer, bool) else await answer:
                    return
                await asyncio.sleep(0.01)

    return wait
