from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from helvetia import (
    RuntimeLog,
)
from helvetia.plugins.runtimes.docker.runtime import DockerRuntime
from helvetia.testing import TestKernel
from tests.docker_engine import DockerEngine

from .conftest import (
    MakeSpec,
    eventually,
    read_all,
)


@pytest.mark.parametrize("limit", [3, 1000])
async def test_long_lines_of_both_streams_are_whole(
    runtime: DockerRuntime, spec: MakeSpec, limit: int
) -> None:
    await runtime.start(spec("mixed"))
    lines: list[RuntimeLog] = []

    async def read() -> int:
        nonlocal lines
        lines = await read_all(runtime, limit)
        return len(lines)

    await eventually(read, lambda count: count == 31)
    out = [line.text for line in lines if line.stream == "stdout"]
    err = [line.text for line in lines if line.stream == "stderr"]
    long = "0" * 40000
    assert out == [*(f"out {n} {long}" for n in range(10)), "€ done"]
    assert err == [text for n in range(10) for text in (f"short {n}", f"err {n} {long}")]


async def test_a_line_that_nobody_ends_holds_up_nothing_and_comes_whole(
    runtime: DockerRuntime, spec: MakeSpec
) -> None:
    await runtime.start(spec("unfinished"))
    page = await eventually(lambda: runtime.logs("web-1", "", 10), lambda page: page.lines)
    assert [line.text for line in page.lines] == ["other"]
    assert await read_all(runtime, 10, page.cursor) == []
    await runtime.stop("web-1", 0)
    (line,) = await read_all(runtime, 10, page.cursor)
    assert (line.stream, line.text) == ("stdout", "0" * 19999 + "1")


async def test_every_line_once_over_restarts_and_by_two_readers(
    runtime: DockerRuntime, spec: MakeSpec, kernel: TestKernel, docker_engine: DockerEngine
) -> None:
    other = DockerRuntime(kernel)
    await runtime.start(spec("crash"))
    await eventually(lambda: runtime.observe("web-1"), lambda seen: seen.restarts > 2)
    cursor, seen = "", 0
    while page := (await runtime.logs("web-1", cursor, 1)).lines:
        again = await other.logs("web-1", cursor, 1)
        assert again.lines == page
        cursor, seen = again.cursor, seen + 1
        if seen == 3:
            await runtime.stop("web-1", 1)
    written = docker_engine("logs", f"helvetia-{kernel.installation}-web-1").splitlines()
    assert ["trying"] * seen == written
    await other.close()


async def test_what_rotation_took_is_told_and_nothing_comes_twice(
    docker_engine: DockerEngine, spec: MakeSpec, tmp_path: Path
) -> None:
    settings = {"docker": {**docker_engine.settings, "log_mib": 1}}
    runtime = DockerRuntime(TestKernel(tmp_path / "h", settings))
    try:
        await runtime.start(spec("flood"))
        first = await eventually(lambda: runtime.logs("web-1", "", 5), lambda page: page.lines)
        await runtime.close()
        numbers = [int(line.text.split()[1]) for line in first.lines]
        cursor, dropped = first.cursor, 0
        async with asyncio.timeout(30):
            while not numbers or numbers[-1] != 29999:
                page = await runtime.logs("web-1", cursor, 500)
                numbers += [int(line.text.split()[1]) for line in page.lines]
                cursor, dropped = page.cursor, dropped + page.dropped
        assert numbers == sorted(set(numbers))
        assert (dropped > 0) == (len(numbers) < 30000)
    finally:
        await runtime.remove("web-1")
        await runtime.close()


async def test_a_reader_that_was_kept_open_does_not_hide_what_came_later(
    runtime: DockerRuntime, spec: MakeSpec
) -> None:
    twice = {"twice": ["/bin/sh", "-c", "echo 1; sleep 1; echo 2"]}
    await runtime.start(spec("twice", processes=twice))
    page = await eventually(lambda: runtime.logs("web-1", "", 1), lambda page: page.lines)

    async def ended() -> int:
        return (await runtime.observe("web-1")).restarts

    await eventually(ended, bool)
    second = await runtime.logs("web-1", page.cursor, 1)
    assert [line.text for line in (*page.lines, *second.lines)] == ["1", "2"]
