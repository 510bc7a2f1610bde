from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from helvetia import LogSink
from helvetia.logs import PLATFORM, LogHub, LogStore, LogWriter, batches
from helvetia.logs.lines import CONTINUED
from helvetia.logs.models import LogSegment
from helvetia.logs.quota import RESERVE_BYTES
from helvetia.masking import Redactor

Until = Callable[[Callable[[], Awaitable[bool] | bool]], Awaitable[None]]

NOTHING = Redactor([])
EVERYTHING = 10**9


async def opened(
    store: LogStore,
    hub: LogHub,
    *,
    redactor: Redactor = NOTHING,
    max_bytes: int | None = 10 * 1024 * 1024,
) -> LogWriter:
    return await LogWriter.open(
        store, "a", redactor=redactor, notify=hub.notify, max_bytes=max_bytes
    )


async def texts(store: LogStore) -> list[str]:
    return [record.text for record in await store.read("a", 0, EVERYTHING)]


async def test_lines_in_order_with_stage_and_stream(store: LogStore, hub: LogHub) -> None:
    writer = await opened(store, hub)
    sink: LogSink = writer
    writer.stage = "fetch"
    sink.line("fetching\nfrom git")
    writer.stage = "build"
    sink.write(b"one\ntw")
    sink.write(b"oops\n", "stderr")
    sink.write(b"o\nno newline")
    writer.stage = "push"
    sink.line("pushed")
    await writer.close()
    sink.line("too late")
    sink.write(b"too late\n")
    await writer.close()
    found = await store.read("a", 0, EVERYTHING)
    assert [(r.seq, r.stream, r.stage, r.text) for r in found] == [
        (1, PLATFORM, "fetch", "fetching"),
        (2, PLATFORM, "fetch", "from git"),
        (3, "stdout", "build", "one"),
        (4, "stderr", "build", "oops"),
        (5, "stdout", "build", "two"),
        (6, "stdout", "build", "no newline"),
        (7, PLATFORM, "push", "pushed"),
    ]
    assert [r.time for r in found] == sorted(r.time for r in found)


async def test_what_the_platform_says_stands_behind_unfinished_output(
    store: LogStore, hub: LogHub
) -> None:
    writer = await opened(store, hub)
    writer.write(b"Error: no such file")
    writer.line("the build ended with exit code 1")
    await writer.close()
    assert await texts(store) == ["Error: no such file", "the build ended with exit code 1"]


async def test_secrets_are_masked_in_chunks_lines_and_stages(store: LogStore, hub: LogHub) -> None:
    writer = await opened(store, hub, redactor=Redactor(["s3cr3t-token", "production"]))
    for byte in b"a s3cr3t-token in production\n":
        writer.write(bytes([byte]))
    writer.line("git clone https://x:s3cr3t-token@host")
    writer.write(b"killed: s3cr3t-to")
    writer.line("between")
    writer.stage = "next"
    await writer.close()
    assert await texts(store) == [
        "a [redacted] in production",
        "git clone https://x:[redacted]@host",
        "killed: ",
        "between",
        "[redacted]",
    ]


async def test_more_secrets_become_known(store: LogStore, hub: LogHub) -> None:
    """A rollback runs with other values than the ones the service has now."""
    writer = await opened(store, hub, redactor=Redactor(["new-password"]))
    writer.write(b"old-password, new-pass")
    writer.mask(["old-password"])
    writer.write(b"old-password new-password\n")
    writer.mask(["old-password", "new-password"])
    writer.line("still old-password")
    assert writer.masked("both new-password, old-password") == "both [redacted], [redacted]"
    await writer.close()
    assert await texts(store) == [
        "old-password, [redacted]",
        "[redacted] [redacted]",
        "still [redacted]",
    ]


async def test_bad_bytes_and_a_line_of_one_megabyte(store: LogStore, hub: LogHub) -> None:
    writer = await opened(store, hub)
    writer.write(b"\xff\xfe nul \x00 \xe2\x82")
    writer.write(b"\xac\n10%\r20%\r100%\r\n")
    writer.write(b"x" * 1_000_000 + b"\nend\n")
    await writer.close()
    first, second, *long, last = await texts(store)
    assert (first, second, last) == ("\ufffd\ufffd nul \ufffd €", "100%", "end")
    assert "".join(line.removesuffix(CONTINUED) for line in long) == "x" * 1_000_000


async def test_flush_means_stored(store: LogStore, hub: LogHub) -> None:
    writer = await opened(store, hub)
    await writer.flush()
    for number in range(50):
        writer.line(f"{number}")
        await writer.flush()
        assert await store.last_seq("a") == number + 1
    await writer.close()
    await writer.flush()


async def test_stored_soon_without_a_flush(store: LogStore, hub: LogHub, until: Until) -> None:
    writer = await opened(store, hub)
    writer.line("hello")

    async def stored() -> bool:
        return await store.last_seq("a") == 1

    await until(stored)
    await writer.close()


async def test_batches(store: LogStore, hub: LogHub) -> None:
    writer = await opened(store, hub)
    for _ in range(5000):
        writer.write(b"short\n")
    await writer.close()
    assert await LogSegment.filter(log="a").count() == 5
    assert len(await texts(store)) == 5000


async def test_a_flood_is_cut_and_its_end_kept(store: LogStore, hub: LogHub) -> None:
    limit = 1024 * 1024
    writer = await opened(store, hub, max_bytes=limit)
    lines = 60_000
    for number in range(0, lines, 1000):
        writer.write(b"".join(b"%06d %s\n" % (number + n, b"x" * 92) for n in range(1000)))
        await asyncio.sleep(0)
    writer.line("the build failed")
    await writer.close()
    found = await texts(store)
    assert await store.size("a") < limit + RESERVE_BYTES
    assert found[-1] == "the build failed"
    assert found[-2].startswith("059999 ")
    notices = [text for text in found if "were dropped" in text]
    assert len(notices) == 1
    assert notices[0].endswith("lines were dropped: the log reached 1 MB")
    dropped = int(notices[0].split()[1])
    numbers = [int(text[:6]) for text in found if text[:6].isdigit()]
    assert len(numbers) + dropped == lines
    at = found.index(notices[0])
    assert numbers[:at] == list(range(at))
    assert numbers[at:] == list(range(at + dropped, lines))


async def test_no_short_line_slips_in_after_a_dropped_long_one(
    store: LogStore, hub: LogHub
) -> None:
    writer = await opened(store, hub, max_bytes=1000)
    writer.write(b"first\n" + b"x" * 2000 + b"\nshort\n" + b"y" * 70_000 + b"\n")
    await writer.close()
    found = await texts(store)
    assert found[:2] == ["first", "… 3 lines were dropped: the log reached 0 kB"]


async def test_endless_floods_with_platform_lines_are_bounded(store: LogStore, hub: LogHub) -> None:
    limit = 100_000
    writer = await opened(store, hub, max_bytes=limit)
    for _ in range(200):
        writer.write(b"x" * 99 * 1000 + b"\n" + b"y\n" * 1000)
        writer.line("still here")
        await writer.flush()
    await writer.close()
    assert await store.size("a") < limit + RESERVE_BYTES + 100_000
    assert "were dropped: the log reached" in " ".join((await texts(store))[-1500:])


async def test_a_new_writer_counts_what_is_there(store: LogStore, hub: LogHub) -> None:
    for _ in range(3):
        writer = await opened(store, hub, max_bytes=100_000)
        writer.write(b"x" * 79 + b"\n" + (b"x" * 79 + b"\n") * 2000)
        await writer.close()
    # The limit once, and the end of each flood.
    assert await store.size("a") < 100_000 + 3 * 70_000


async def test_a_producer_that_never_yields_does_not_fill_the_memory(
    store: LogStore, hub: LogHub
) -> None:
    writer = await opened(store, hub, max_bytes=None)
    lines = 200_000
    for number in range(0, lines, 1000):
        writer.write((b"x" * 60 + b"\n") * 1000)
        assert writer._batches._queued_bytes < 5 * 1024 * 1024, number
    await writer.flush()
    writer.write(b"after\n")
    await writer.close()
    found = await texts(store)
    notice = next(text for text in found if "came faster" in text)
    assert len(found) - 2 + int(notice.split()[1]) == lines
    # Told as soon as there is room again, not only at the end.
    assert found[-2:] == [notice, "after"]


async def test_a_new_writer_goes_on_after_a_crash(store: LogStore, hub: LogHub) -> None:
    first = await opened(store, hub)
    first.line("one")
    first.line("two")
    await first.flush()
    first.line("never stored")
    first._batches._task.cancel()
    second = await opened(store, hub)
    second.line("three")
    await second.close()
    found = await store.read("a", 0, 10)
    assert [(r.seq, r.text) for r in found] == [(1, "one"), (2, "two"), (3, "three")]


async def test_two_writers_at_once_lose_nothing(store: LogStore, hub: LogHub) -> None:
    """It should not be, but a worker whose lease ran out notices late."""
    old = await opened(store, hub)
    new = await opened(store, hub)
    for number in range(20):
        old.line(f"old {number}")
        new.line(f"new {number}")
        await asyncio.gather(old.flush(), new.flush())
    await asyncio.gather(old.close(), new.close())
    found = await store.read("a", 0, 100)
    assert [r.seq for r in found] == list(range(1, 41))
    for name in ("old", "new"):
        mine = [r.text for r in found if r.text.startswith(name)]
        assert mine == [f"{name} {number}" for number in range(20)]


async def test_lines_from_another_thread(store: LogStore, hub: LogHub) -> None:
    writer = await opened(store, hub)

    def work(name: str) -> None:
        for number in range(500):
            writer.line(f"{name} {number}")

    await asyncio.gather(*(asyncio.to_thread(work, name) for name in "abcd"))
    await writer.close()
    found = await texts(store)
    assert len(found) == 2000
    assert [text for text in found if text[0] == "c"] == [f"c {n}" for n in range(500)]


async def test_waits_for_a_locked_database(
    store: LogStore, hub: LogHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batches, "_FIRST_PAUSE", 0.01)
    writer = await opened(store, hub)
    writer.line("before")
    await writer.flush()
    other = sqlite3.connect(tmp_path / "logs.db", isolation_level=None)
    other.execute("ALTER TABLE log_segment RENAME TO away")
    writer.line("meanwhile")
    flushed = asyncio.create_task(writer.flush())
    await asyncio.wait([flushed], timeout=0.2)
    assert not flushed.done()
    other.execute("ALTER TABLE away RENAME TO log_segment")
    other.close()
    async with asyncio.timeout(10):
        await flushed
    await writer.close()
    assert await texts(store) == ["before", "meanwhile"]


async def test_close_does_not_hang_on_a_store_that_is_away(
    store: LogStore, hub: LogHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("helvetia.logs.writer._CLOSE_SECONDS", 0.2)
    writer = await opened(store, hub)
    with sqlite3.connect(tmp_path / "logs.db") as other:
        other.execute("ALTER TABLE log_segment RENAME TO away")
    other.close()
    writer.line("lost")
    async with asyncio.timeout(5):
        await writer.close()
        await writer.flush()


async def test_a_cancelled_flush_loses_nothing(store: LogStore, hub: LogHub) -> None:
    writer = await opened(store, hub)
    for number in range(30):
        writer.line(f"{number}")
        task = asyncio.create_task(writer.flush())
        for _ in range(number % 7):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
    await writer.close()
    assert await texts(store) == [f"{number}" for number in range(30)]
