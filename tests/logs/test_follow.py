from __future__ import annotations

import asyncio
import hashlib
import random
import time
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from functools import partial

import pytest

from helvetia.logs import LogBatch, LogHub, LogRecord, LogStore, LogWriter, follow
from helvetia.masking import Redactor

Until = Callable[[Callable[[], Awaitable[bool] | bool]], Awaitable[None]]


class Ending:
    """Whether the log has ended; what the deployment's status is in the platform."""

    def __init__(self) -> None:
        self.over = False
        self.asked = 0

    async def __call__(self) -> bool:
        self.asked += 1
        return self.over

    def asked_more_than(self, times: int) -> bool:
        return self.asked > times


async def opened(store: LogStore, hub: LogHub) -> LogWriter:
    return await LogWriter.open(
        store, "a", redactor=Redactor([]), notify=hub.notify, max_bytes=None
    )


def records(first: int, last: int, text: str = "x") -> list[LogRecord]:
    return [LogRecord(seq, 1.0, "stdout", "", text) for seq in range(first, last + 1)]


async def collect(hub: LogHub, ending: Ending, after: int = 0) -> list[LogBatch]:
    async with asyncio.timeout(30):
        return [batch async for batch in hub.follow("a", after, ended=ending)]


async def test_killed_and_resumed_a_hundred_times(store: LogStore, hub: LogHub) -> None:
    """Over 50,000 lines written meanwhile: what a reader puts together is byte for byte the log."""
    total, kills = 50_000, 100
    rng = random.Random(7)
    ending = Ending()
    writer = await opened(store, hub)

    async def produce() -> None:
        for number in range(0, total, 250):
            writer.write(b"".join(f"{n} é line\n".encode() for n in range(number, number + 250)))
            await writer.flush()
        await writer.close()
        ending.over = True
        hub.notify("a")

    producer = asyncio.create_task(produce())
    got = hashlib.sha256()
    after = lives = 0
    done = False

    async def read(until: int) -> None:
        nonlocal after, done
        async with aclosing(hub.follow("a", after, ended=ending)) as batches:
            async for batch in batches:
                assert batch.skipped == 0
                for record in batch.records:
                    assert record.seq == after + 1
                    got.update(record.text.encode() + b"\n")
                    after = record.seq
                    if after >= until:
                        return
        done = True

    async with asyncio.timeout(60):
        while not done:
            lives += 1
            # Some readers go away by themselves, some are cancelled in the middle of a query.
            step = rng.randrange(2 * total // kills) + 1 if lives <= kills else total
            task = asyncio.create_task(read(after + step))
            if lives % 2 and lives <= kills:
                for _ in range(rng.randrange(40)):
                    await asyncio.sleep(0)
                task.cancel()
            await asyncio.wait([task])
            if not task.cancelled():
                task.result()
        await producer
    assert lives > kills
    assert after == total
    expected = "".join(f"{n} é line\n" for n in range(total)).encode()
    assert got.hexdigest() == hashlib.sha256(expected).hexdigest()
    assert hub.followers == 0


async def test_two_followers_get_the_same(store: LogStore, hub: LogHub) -> None:
    ending = Ending()
    writer = await opened(store, hub)
    early = [asyncio.create_task(collect(hub, ending)) for _ in range(2)]
    for number in range(200):
        writer.line(f"{number}")
        if number % 20 == 0:
            await writer.flush()
    await writer.close()
    ending.over = True
    hub.notify("a")
    late = await collect(hub, ending)
    found = [*(await asyncio.gather(*early)), late]
    for batches in found:
        lines = [record.text for batch in batches for record in batch.records]
        assert lines == [f"{number}" for number in range(200)]
    assert hub.followers == 0


async def test_news_come_at_once_in_one_process(store: LogStore, until: Until) -> None:
    hub = LogHub(store, poll_seconds=60)
    ending = Ending()
    writer = await opened(store, hub)
    async with asyncio.timeout(10), aclosing(hub.follow("a", 0, ended=ending)) as batches:
        waits = []
        for number in range(5):
            following = asyncio.ensure_future(anext(batches))
            await until(partial(ending.asked_more_than, number))
            start = time.monotonic()
            writer.line("x")
            await following
            waits.append(time.monotonic() - start)
    assert min(waits) < 0.5
    await writer.close()


async def test_another_process_is_found_by_looking(
    store: LogStore, hub: LogHub, until: Until
) -> None:
    ending = Ending()
    task = asyncio.create_task(collect(hub, ending))
    await until(lambda: ending.asked > 0)
    await store.append("a", records(1, 3))
    await store.append("a", records(4, 4))
    ending.over = True
    batches = await task
    assert [r.seq for batch in batches for r in batch.records] == [1, 2, 3, 4]


async def test_a_slow_follower_is_told_what_it_missed(store: LogStore, hub: LogHub) -> None:
    ending = Ending()
    for seq in range(1, 101, 10):
        await store.append("a", records(seq, seq + 9, "x" * 100))
    async with aclosing(hub.follow("a", 0, ended=ending)) as batches:
        first = await anext(batches)
        assert (first.skipped, first.last_seq) == (0, 100)
        for seq in range(101, 201, 10):
            await store.append("a", records(seq, seq + 9, "x" * 100))
        await store.trim("a", 5000)
        ending.over = True
        second = await anext(batches)
    assert second.skipped > 0
    assert second.records[0].seq == 101 + second.skipped
    assert second.last_seq == 200
    # The same for one that comes back with an old number.
    late = await collect(hub, ending, after=5)
    assert late[0].skipped == late[0].records[0].seq - 6


async def test_batches_are_bounded(store: LogStore, hub: LogHub) -> None:
    ending = Ending()
    ending.over = True
    for seq in range(1, 5001, 500):
        await store.append("a", records(seq, seq + 499, "x" * 400))
    batches = await collect(hub, ending)
    assert [r.seq for batch in batches for r in batch.records] == list(range(1, 5001))
    assert max(len(batch.records) for batch in batches) <= 1000
    assert max(sum(r.size for r in batch.records) for batch in batches) <= 256 * 1024


async def test_what_is_written_just_before_the_end_is_delivered(store: LogStore) -> None:
    hub = LogHub(store, poll_seconds=0.01)

    async def ended() -> bool:
        # The last lines arrive between the follower's look and its question.
        if await store.last_seq("a") == 0:
            await store.append("a", records(1, 3))
        return True

    async with asyncio.timeout(10):
        found = [batch async for batch in hub.follow("a", 0, ended=ended)]
    assert [r.seq for batch in found for r in batch.records] == [1, 2, 3]


async def test_news_during_a_look_are_not_missed(store: LogStore) -> None:
    class Busy(LogStore):
        """A record is written just after the first look, before its answer arrives."""

        looks = 0

        async def read(
            self, log: str, after: int, limit: int, *, max_bytes: int | None = None
        ) -> list[LogRecord]:
            found = await super().read(log, after, limit, max_bytes=max_bytes)
            self.looks += 1
            if self.looks == 1:
                await self.append(log, records(1, 1))
                hub.notify(log)
            return found

    hub = LogHub(Busy(), poll_seconds=60)
    async with asyncio.timeout(5), aclosing(hub.follow("a", 0, ended=Ending())) as batches:
        assert (await anext(batches)).last_seq == 1


async def test_an_offset_beyond_the_end_or_below_zero(store: LogStore, hub: LogHub) -> None:
    ending = Ending()
    ending.over = True
    await store.append("a", records(1, 3))
    assert await collect(hub, ending, after=99) == []
    batches = await collect(hub, ending, after=-5)
    assert [(batch.skipped, len(batch.records)) for batch in batches] == [(0, 3)]
    assert await collect(LogHub(store), ending, after=3) == []


async def test_a_cancelled_follower_leaves_nothing(
    store: LogStore, hub: LogHub, until: Until
) -> None:
    ending = Ending()
    tasks = [asyncio.create_task(collect(hub, ending)) for _ in range(20)]
    await until(lambda: hub.followers == 20)
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    assert hub.followers == 0
    await store.append("a", records(1, 1))
    assert await store.last_seq("a") == 1


async def test_a_crowd_gets_larger_batches_less_often(
    store: LogStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub = LogHub(store, poll_seconds=60)
    monkeypatch.setattr(follow, "FRAMES_A_SECOND", 20)
    ending, lines, crowd = Ending(), 100, 10
    writer = await opened(store, hub)
    began = time.monotonic()
    followers = [asyncio.create_task(collect(hub, ending)) for _ in range(crowd)]
    for number in range(lines):
        writer.line(f"{number}")
        await writer.flush()
    await writer.close()
    ending.over = True
    hub.notify("a")
    got = await asyncio.gather(*followers)
    most = (time.monotonic() - began) / (crowd / 20) + 3
    for batches in got:
        assert [record.seq for one in batches for record in one.records] == [*range(1, lines + 1)]
        assert len(batches) <= most
