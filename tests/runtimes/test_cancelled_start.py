"""A start that is called off in the middle leaves neither a file nor a process behind."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

import psutil
import pytest

from helvetia.plugins.runtimes.process.runtime import ProcessRuntime

from .conftest import MakeSpec, TestKernel

FILES = 3000


@pytest.mark.parametrize("seconds", [0.0, 0.01, 0.03, 0.06, 0.1])
async def test_while_the_artifact_is_copied(
    runtime: ProcessRuntime, kernel: TestKernel, spec: MakeSpec, tmp_path: Path, seconds: float
) -> None:
    for number in range(FILES):
        folder = tmp_path / "artifact" / f"d{number % 30}"
        folder.mkdir(exist_ok=True)
        (folder / f"f{number}").touch()
    starting = asyncio.create_task(runtime.start(spec()))
    work = kernel.home / "process" / "web-1"
    async with asyncio.timeout(10):
        while not work.exists():
            await asyncio.sleep(0.001)
    await asyncio.sleep(seconds)

    await call_off(starting, runtime)

    # A thread that went on copying would make the folder again.
    await asyncio.sleep(0.3)
    assert not work.exists()


@pytest.mark.parametrize("seconds", [0.0, 0.02, 0.04, 0.06, 0.08, 0.1, 0.15])
async def test_while_the_supervisor_starts(
    runtime: ProcessRuntime, kernel: TestKernel, spec: MakeSpec, seconds: float
) -> None:
    starting = asyncio.create_task(runtime.start(spec(read_only=True)))
    await asyncio.sleep(seconds)

    await call_off(starting, runtime)

    folder = kernel.home / "process" / "web-1"

    def running() -> list[int]:
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                words = [*process.cmdline(), *process.environ().values()]
                if any(str(folder) in word for word in words):
                    found.append(process.pid)
        return found

    # A supervisor that was about to start finds that its folder is gone.
    await asyncio.sleep(0.3)
    async with asyncio.timeout(10):
        while running():
            await asyncio.sleep(0.05)
    assert not folder.exists()


async def call_off(starting: asyncio.Task[object], runtime: ProcessRuntime) -> None:
    starting.cancel()
    await asyncio.gather(starting, return_exceptions=True)
    await runtime.stop("web-1", 0)
    await runtime.remove("web-1")
