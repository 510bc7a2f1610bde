"""The load notices what goes wrong, and the bench says so: else their zeros would mean nothing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from bench.rollover.behaviours import DROPS, WELL, Behaviour
from bench.rollover.client import Answer
from bench.rollover.judging import Verdict, judge
from bench.rollover.load import Load
from bench.rollover.site import Rollover


@asynccontextmanager
async def careless(counts: dict[str, int]) -> AsyncIterator[int]:
    """Serve, but drop every tenth request unanswered and cut every tenth answer short."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                if b"Content-Length" in head:
                    await reader.readexactly(10_000)
                text = b"v1 10000" if b"Content-Length" in head else b"v1"
                counts["requests"] += 1
                what = {3: "dropped", 7: "cut"}.get(counts["requests"] % 10, "")
                if what:
                    counts[what] += 1
                if what == "dropped":
                    break
                size = len(text) + (what == "cut")
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (size, text))
                if what == "cut" or b"Connection: close" in head:
                    break
        except asyncio.IncompleteReadError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


async def test_each_request_is_sent_once_and_each_broken_one_counts() -> None:
    counts = {"requests": 0, "dropped": 0, "cut": 0}
    async with careless(counts) as port:
        load = Load(port, "web.localhost", rate=200)
        async with load.running(), asyncio.timeout(20):
            while counts["requests"] < 200:
                await asyncio.sleep(0.02)
    assert len(load.answers) == counts["requests"]
    assert sum("closed after 0 bytes" in one.problem for one in load.failed) == counts["dropped"]
    assert sum("cut after" in one.problem for one in load.failed) == counts["cut"]
    assert len(load.failed) == counts["dropped"] + counts["cut"]
    assert {one.kept for one in load.answers} == {True, False}


def stage(name: str, began: int, ended: int) -> dict[str, str]:
    return {
        "name": name,
        "started_at": f"1970-01-01T00:00:{began:02}+00:00",
        "finished_at": f"1970-01-01T00:00:{ended:02}+00:00",
    }


def judged(*answers: Answer, replaced: Behaviour = DROPS, **receipt: int) -> Verdict:
    """Judge a rollover that switches at second 10, drains until 20 and retires until 30."""
    deployment: dict[str, Any] = {
        "status": "LIVE",
        "reason": "",
        "receipt": {"requests": 0, "failed": 0, **receipt},
        "stages": [stage("activate", 10, 11), stage("drain", 11, 20), stage("retire", 20, 30)],
    }
    load = Load(0, "web.localhost")
    load.answers = list(answers)
    return judge("", load, [Rollover("old", replaced, "new", DROPS, deployment)])


def held(ended: float, end: str, version: str = "old") -> Answer:
    return Answer(kind="held", began=1, ended=ended, version=version, end=end)


def get(began: float, version: str) -> Answer:
    return Answer(kind="GET", began=began, ended=began + 0.001, version=version)


@pytest.mark.parametrize(
    ("wrong", "verdict"),
    [
        ("", judged(held(21, "end of stream"))),
        ("1.00 s before the drain did", judged(held(19, "end of stream"))),
        ("ended by reset", judged(held(21, "reset"))),
        ("ended by end of stream", judged(held(21, "end of stream"), replaced=WELL)),
        ("though its version went on", judged(held(21, "1001", "new"))),
        ("", judged(get(10.0, "new"), get(10.04, "old"))),
        ("versions mixed for 60 ms", judged(get(10.0, "new"), get(10.06, "old"))),
        ("the receipt says (30, 0)", judged(get(12, "new"), requests=30)),
        ("the receipt says (0, 0)", judged(*[get(12, "new")] * 30)),
        ("the receipt says (1, 1)", judged(get(12, "new"), requests=1, failed=1)),
    ],
)
def test_what_is_wrong_is_said(wrong: str, verdict: Verdict) -> None:
    assert [wrong in what for what in verdict.wrong] == [True] * bool(wrong)
