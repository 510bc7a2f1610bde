"""The broker on a real Redis that is emptied, killed, frozen and late."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path

import pytest

from helvetia.cli.doorbell import Doorbell
from helvetia.kernel.errors import SettingsError
from helvetia.kernel.platform import Platform
from helvetia.kernel.providers import Providers
from helvetia.kernel.settings import Settings
from helvetia.plugins.brokers.redis.provider import RedisBroker
from tests.redis_server import RedisServer


class Process:
    """What one process of the platform has of the broker."""

    def __init__(self, url: str) -> None:
        self.bell = Doorbell(RedisBroker(url, prefix="helvetia:test"))
        self.rings: list[str] = []
        self.news: list[str] = []

    async def rung(self, deployment_id: str) -> None:
        self.rings.append(deployment_id)


@contextlib.asynccontextmanager
async def process(url: str, *, working: bool = True) -> AsyncIterator[Process]:
    made = Process(url)
    await made.bell.start(told=made.news.append, rung=made.rung if working else None)
    try:
        yield made
    finally:
        await made.bell.stop()


async def until(condition: Callable[[], object], *, seconds: float = 15) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.02)


async def get_through(web: Process, *workers: Process) -> None:
    """Ring and tell until both arrive: what is sent while Redis is away is lost."""
    number = 0
    async with asyncio.timeout(15):
        while not (
            any("through" in ring for worker in workers for ring in worker.rings)
            and all("through" in worker.news for worker in workers)
        ):
            number += 1
            web.bell.ring(f"through-{number}")
            web.bell.tell("through")
            await asyncio.sleep(0.1)


def forget(*processes: Process) -> None:
    for one in processes:
        one.rings.clear()
        one.news.clear()


@pytest.fixture
def warnings(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    caplog.set_level(logging.WARNING)
    return lambda: [record.getMessage() for record in caplog.records]


async def test_one_worker_hears_a_ring_and_all_hear_news(
    redis: RedisServer, warnings: Callable[[], list[str]]
) -> None:
    async with (
        process(redis.url, working=False) as web,
        process(redis.url) as a,
        process(redis.url) as b,
    ):
        await get_through(web, a, b)
        forget(a, b)
        sent = [f"{number:016x}" for number in range(100)]
        for deployment_id in sent:
            web.bell.ring(deployment_id)
        await until(lambda: len(a.rings) + len(b.rings) >= len(sent))
        assert sorted(a.rings + b.rings) == sent
        assert a.rings
        assert b.rings
        web.bell.tell("one")
        b.bell.tell("two")
        for one in (web, a, b):
            await until(partial({"one", "two"}.issubset, one.news))
        assert web.rings == []
    assert warnings() == []
    assert redis.ask("KEYS", "*").startswith("*1"), "the stream is the only key"


async def test_a_ring_that_came_before_the_first_worker_is_heard(redis: RedisServer) -> None:
    async with process(redis.url, working=False) as web:
        web.bell.ring("early")
        await until(lambda: redis.ask("XLEN", "helvetia:test:deployments") == ":1")
        async with process(redis.url) as worker:
            await until(lambda: worker.rings == ["early"])


async def test_of_the_same_news_many_times_at_once_few_are_sent(redis: RedisServer) -> None:
    async with process(redis.url) as worker:
        await get_through(worker, worker)
        forget(worker)
        for _ in range(1000):
            worker.bell.tell("log web")
        worker.bell.tell("end")
        await until(lambda: "end" in worker.news and not worker.bell._saying)
        # All is sent; what is sent after it is heard after it.
        worker.bell.tell("the very end")
        await until(lambda: "the very end" in worker.news)
        assert 1 <= worker.news.count("log web") <= 2


async def test_the_stream_is_trimmed(redis: RedisServer) -> None:
    async with process(redis.url, working=False) as web:
        for number in range(3000):
            web.bell.ring(str(number))
            if number % 100 == 99:
                await asyncio.sleep(0.06)
        await until(lambda: not web.bell._saying)
    assert 900 <= int(redis.ask("XLEN", "helvetia:test:deployments")[1:]) <= 1200


@pytest.mark.parametrize("what", ["flushed", "killed"])
async def test_all_hear_again_after_all_data_was_lost(
    redis: RedisServer, what: str, warnings: Callable[[], list[str]]
) -> None:
    async with process(redis.url, working=False) as web, process(redis.url) as worker:
        await get_through(web, worker)
        for _ in range(2):
            forget(worker)
            if what == "flushed":
                assert redis.ask("FLUSHALL") == "+OK"
            else:
                await asyncio.to_thread(redis.restart)
            await get_through(web, worker)
    lost = [text for text in warnings() if "is away" in text]
    assert len(lost) <= 4, "of each process one line for each loss"
    assert [text for text in warnings() if "Redis at" not in text] == []


async def test_while_it_is_away_all_is_calm_and_two_lines_tell_of_it(
    redis: RedisServer, warnings: Callable[[], list[str]]
) -> None:
    async with process(redis.url) as worker:
        await get_through(worker, worker)
        redis.stop()
        await until(lambda: len(warnings()) == 1)
        before = time.process_time()
        for second in range(4):
            for number in range(25):
                worker.bell.ring(f"{second}-{number}")
                worker.bell.tell(f"{second}-{number}")
            await asyncio.sleep(1)
        assert time.process_time() - before < 1.0
        assert len(warnings()) == 1
        forget(worker)
        await asyncio.to_thread(redis.start)
        await get_through(worker, worker)
    lines = warnings()
    assert len(lines) == 2
    assert f"127.0.0.1:{redis.port} is away" in lines[0]
    assert lines[1].endswith("is back")


async def test_a_process_starts_and_ends_quickly_without_redis() -> None:
    began = time.monotonic()
    async with process("redis://127.0.0.1:9/0") as worker:
        worker.bell.ring("nobody")
        worker.bell.tell("nobody")
        # Both were tried, and given up.
        await until(lambda: not worker.bell._saying)
    assert time.monotonic() - began < 2.5


async def test_a_process_ends_quickly_while_redis_is_frozen(
    redis: RedisServer, warnings: Callable[[], list[str]]
) -> None:
    async with contextlib.AsyncExitStack() as stack:
        worker = await stack.enter_async_context(process(redis.url))
        await get_through(worker, worker)
        with redis.frozen():
            began = time.monotonic()
            worker.bell.ring("into the void")
            assert time.monotonic() - began < 0.1, "saying something waits for nothing"
            assert worker.bell._saying, "it is under way"
            await stack.aclose()
            assert time.monotonic() - began < 6


async def test_a_cancelled_listener_ends_at_any_moment(redis: RedisServer) -> None:
    """Python 3.11 and redis-py swallowed some of these cancellations, and listened for ever."""
    for number in range(40):
        async with process(redis.url) as worker:
            worker.bell.ring(str(number))
            await asyncio.sleep(0.002 * (number % 20))
            began = time.monotonic()
        assert time.monotonic() - began < 1.5


async def test_check_says_whether_it_answers(redis: RedisServer) -> None:
    broker = RedisBroker(redis.url.replace("://", "://ada:secret@"), prefix="p")
    refused = await broker.check()
    await broker.queue.shutdown()
    broker = RedisBroker(redis.url, prefix="p")
    there = await broker.check()
    with redis.frozen():
        frozen = await asyncio.wait_for(broker.check(), 5)
    redis.stop()
    gone = await broker.check()
    await broker.queue.shutdown()
    assert [check.ok for check in (refused, there, frozen, gone)] == [False, True, False, False]
    assert "in time" in frozen.reason
    for check in (refused, there, frozen, gone):
        assert f"127.0.0.1:{redis.port}" in check.reason
        assert "secret" not in check.reason


@pytest.fixture
def offered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Platform]:
    monkeypatch.delenv("REDIS_URL", raising=False)

    def offer(**environment: str) -> Platform:
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        platform = Platform(Settings(tmp_path))
        platform.providers = Providers(platform.plugins, platform)
        return platform

    return offer


@pytest.mark.parametrize("variable", ["REDIS_URL", "HELVETIA_REDIS_URL"])
def test_it_is_there_if_a_url_is_set(variable: str, offered: Callable[..., Platform]) -> None:
    assert offered().providers.brokers.all() == []
    (entry,) = offered(**{variable: "redis://127.0.0.1:6379/3"}).providers.brokers.all()
    assert (entry.name, entry.plugin) == ("redis", "broker-redis")


def test_a_wrong_url_is_told_without_its_password(offered: Callable[..., Platform]) -> None:
    with pytest.raises(SettingsError, match=r"HELVETIA_REDIS_URL.*redis://") as raised:
        offered(HELVETIA_REDIS_URL="http://:secret@there")
    assert "secret" not in str(raised.value)
    platform = offered(HELVETIA_REDIS_URL="", REDIS_URL="http://:secret@there")
    assert platform.providers.brokers.all() == []
    plugin = platform.plugins.get("broker-redis")
    assert plugin is not None
    assert "REDIS_URL must begin with redis://" in plugin.reason
    assert "secret" not in plugin.reason
