from __future__ import annotations

import pytest

from helvetia.logs import LogRecord, LogStore, SequenceTaken
from helvetia.logs.models import LogSegment


def record(seq: int, text: str = "") -> LogRecord:
    return LogRecord(seq, 1_700_000_000.125 + seq, "stdout", "build", text or f"line {seq}")


def records(first: int, last: int) -> list[LogRecord]:
    return [record(seq) for seq in range(first, last + 1)]


async def fill(store: LogStore, log: str, *sizes: int) -> None:
    seq = 1
    for size in sizes:
        await store.append(log, records(seq, seq + size - 1))
        seq += size


async def test_what_goes_in_comes_out(store: LogStore) -> None:
    awkward = [
        record(1, 'quotes " and \\ and \n newline, \u2028, \r, ö, 😀, \x1b[31m'),
        LogRecord(2, 1.5, "platform", "", ""),
        record(3, "x" * 100_000),
    ]
    await store.append("deployment:a", awkward)
    assert await store.read("deployment:a", 0, 10) == awkward
    assert awkward[1].json() == {
        "seq": 2,
        "time": 1.5,
        "stream": "platform",
        "stage": "",
        "text": "",
    }


async def test_lone_surrogates_and_nul_do_not_stop_the_log(store: LogStore) -> None:
    await store.append("a", [record(1, "a\udcffb\0c")])
    assert [line.text for line in await store.read("a", 0, 10)] == ["a?b\0c"]
    assert "\0" not in (await LogSegment.get(log="a")).data


@pytest.mark.parametrize("sizes", [(10,), (1,) * 10, (3, 4, 3), (9, 1)])
@pytest.mark.parametrize("after", [0, 1, 2, 3, 6, 7, 9, 10, 11, 99])
@pytest.mark.parametrize("limit", [0, 1, 2, 5, 10, 100])
async def test_pages(store: LogStore, sizes: tuple[int, ...], after: int, limit: int) -> None:
    await fill(store, "a", *sizes)
    await fill(store, "b", 20)
    assert await store.read("a", after, limit) == records(1, 10)[after:][:limit]


async def test_pages_bounded_by_bytes(store: LogStore) -> None:
    for seq in range(1, 9):
        await store.append("a", [record(seq, "x" * 1000)])
    await store.append("a", [record(seq, "y" * 1000) for seq in range(9, 13)])
    sizes = []
    after = 0
    while page := await store.read("a", after, 100, max_bytes=2500):
        assert page[0].seq == after + 1
        after = page[-1].seq
        sizes.append(len(page))
    assert after == 12
    assert max(sizes) == 2
    # A record larger than the bound still gets through.
    assert len(await store.read("a", 0, 100, max_bytes=10)) == 1


@pytest.mark.parametrize("sizes", [(10,), (1,) * 10, (3, 4, 3)])
@pytest.mark.parametrize("n", [0, 1, 3, 4, 10, 50])
async def test_tail(store: LogStore, sizes: tuple[int, ...], n: int) -> None:
    await fill(store, "a", *sizes)
    assert await store.tail("a", n) == records(1, 10)[10 - min(n, 10) :]


async def test_an_empty_log(store: LogStore) -> None:
    await store.append("a", [])
    assert await store.read("a", 0, 10) == []
    assert await store.tail("a", 10) == []
    assert await store.last_seq("a") == 0
    assert await store.last_cursor("a") == ""
    assert await store.size("a") == 0
    assert await store.trim("a", 0) == 0
    await store.delete("a")


async def test_cursor_is_kept_with_the_records(store: LogStore) -> None:
    await store.append("a", records(1, 2), cursor="c1")
    await store.append("a", records(3, 3), cursor="c2")
    await store.append("b", records(1, 1), cursor="other")
    assert await store.last_cursor("a") == "c2"
    await store.append("a", records(4, 4))
    assert await store.last_cursor("a") == "c2"
    assert await store.last_seq("a") == 4


async def test_numbers_follow_each_other(store: LogStore) -> None:
    with pytest.raises(ValueError, match="not numbered"):
        await store.append("a", [record(1), record(3)])
    with pytest.raises(ValueError, match="not numbered"):
        await store.append("a", [record(0)])


async def test_repeating_an_append_stores_it_once(store: LogStore) -> None:
    await store.append("a", records(1, 3), cursor="c")
    await store.append("a", records(1, 3), cursor="c")
    assert await store.read("a", 0, 10) == records(1, 3)
    with pytest.raises(SequenceTaken):
        await store.append("a", [record(1, "something else")])
    assert await store.read("a", 0, 10) == records(1, 3)


async def test_delete(store: LogStore) -> None:
    await fill(store, "a", 3)
    await fill(store, "b", 3)
    await store.delete("a")
    assert await store.last_seq("a") == 0
    assert await store.last_seq("b") == 3


async def test_trim_removes_the_oldest(store: LogStore) -> None:
    for seq in range(1, 1201):
        await store.append("a", [record(seq, "x" * 50)], cursor=f"c{seq}")
    await fill(store, "b", 5)
    each = (await store.size("a")) // 1200
    removed = await store.trim("a", each * 100)
    assert await store.size("a") <= each * 100
    left = await store.read("a", 0, 5000)
    assert left[0].seq == removed + 1
    assert left[-1].seq == 1200
    assert len(left) == 1200 - removed
    assert 95 <= len(left) <= 100
    assert await store.last_seq("b") == 5
    # The newest segment stays, whatever its size: the log goes on behind it.
    await store.trim("a", 0)
    assert await store.last_seq("a") == 1200
    assert await store.last_cursor("a") == "c1200"
    assert len(await store.read("a", 0, 5000)) == 1
