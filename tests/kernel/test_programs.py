"""Programs of a deployment end when they should, whatever they have started themselves."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import psutil
import pytest

from helvetia.programs import OWNER_VARIABLE, kill_owned, run_command

# It starts a child in a session of its own, which keeps standard output open, and tells its pid.
_LEAVING = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"],
                         start_new_session=True)
print(child.pid, flush=True)
time.sleep(float(sys.argv[1]))
"""


class _Lines:
    def __init__(self) -> None:
        self.data = b""

    def line(self, text: str) -> None:
        self.write(text.encode() + b"\n")

    def write(self, data: bytes, stream: str = "stdout") -> None:
        self.data += data


@pytest.fixture
def owner() -> Iterator[str]:
    owner = f"build:{uuid4().hex}"
    yield owner
    kill_owned(owner)


async def _kill(owner: str) -> int:
    """Kill what is left while the loop still runs, which closes the pipes then."""
    marked = [process for process in psutil.process_iter() if _is_marked(process, owner)]
    killed = kill_owned(owner)
    _, alive = await asyncio.to_thread(psutil.wait_procs, marked, timeout=5)
    assert alive == []
    return killed


def _is_marked(process: psutil.Process, owner: str) -> bool:
    try:
        return process.environ().get(OWNER_VARIABLE) == owner
    except psutil.Error:
        return False


async def test_a_program_that_leaves_a_daemon_has_ended(tmp_path: Path, owner: str) -> None:
    log = _Lines()
    argv = [sys.executable, "-c", _LEAVING, "0"]
    async with asyncio.timeout(10):
        assert await run_command(argv, cwd=tmp_path, owner=owner, log=log) == 0
    assert await _kill(owner) == 1


async def test_cancel_does_not_wait_for_a_daemon(tmp_path: Path, owner: str) -> None:
    log = _Lines()
    argv = [sys.executable, "-c", _LEAVING, "600"]
    running = asyncio.create_task(run_command(argv, cwd=tmp_path, owner=owner, log=log))
    async with asyncio.timeout(10):
        while not log.data:
            await asyncio.sleep(0.02)
    began = time.monotonic()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        async with asyncio.timeout(10):
            await running
    assert time.monotonic() - began < 2
    assert await _kill(owner) == 1
