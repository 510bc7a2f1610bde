from __future__ import annotations

import asyncio
import pickle
import sys
from pathlib import Path

import pytest

from helvetia.plugins.runtimes.process.runtime import ProcessRuntime

from .conftest import (
    MakeSpec,
    TestKernel,
    eventually,
    gone,
    importable,
    is_alive,
    kill,
)


class Log:
    """Collects what a person would read, and tells when."""

    def __init__(self) -> None:
        self.text = ""
        self.errors = ""

    def line(self, text: str) -> None:
        self.text += f"[{text}]\n"

    def write(self, data: bytes, stream: str = "stdout") -> None:
        if stream == "stderr":
            self.errors += data.decode()
        else:
            self.text += data.decode()


async def test_run_gives_output_and_exit_code(
    runtime: ProcessRuntime, kernel: TestKernel, spec: MakeSpec, tmp_path: Path
) -> None:
    code = "import os, sys; print(os.environ['WHO'], 'PORT' in os.environ); open('x', 'w');"
    code += "print('oh', file=sys.stderr); sys.exit(5)"
    log = Log()
    once = spec(
        process="release",
        processes={"release": ["{python}", "-c", code]},
        environment={"WHO": "me"},
    )
    assert await runtime.run(once, log) == 5
    assert log.text.startswith("me False\n")
    assert log.errors == "oh\n"
    assert not (tmp_path / "artifact" / "x").exists()
    assert list((kernel.home / "process/.runs").iterdir()) == []
    assert await runtime.list() == []


async def test_run_shows_output_as_it_comes_and_cancel_ends_the_tree(
    runtime: ProcessRuntime, kernel: TestKernel, spec: MakeSpec
) -> None:
    code = (
        "import os, subprocess, sys, time\n"
        "p = subprocess.Popen(['sleep', '600'], start_new_session=True)\n"
        "print(os.getpid(), p.pid, flush=True)\ntime.sleep(600)"
    )
    log = Log()
    once = spec(process="release", processes={"release": ["{python}", "-c", code]})
    task = asyncio.create_task(runtime.run(once, log))

    async def text() -> str:
        return log.text

    numbers = [int(part) for part in (await eventually(text, lambda t: "\n" in t)).split()]
    assert all(map(is_alive, numbers))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not any(map(is_alive, numbers))
    assert list((kernel.home / "process/.runs").iterdir()) == []


async def test_leftover_of_a_killed_runner_is_collected(
    runtime: ProcessRuntime, kernel: TestKernel, spec: MakeSpec
) -> None:
    code = (
        "import asyncio, pickle, sys\n"
        "from helvetia.plugins.runtimes.process.runtime import ProcessRuntime\n"
        "kernel, spec = pickle.load(sys.stdin.buffer)\n"
        "class Log:\n"
        "    def line(self, text): pass\n"
        "    def write(self, data, stream='stdout'): print(data.decode(), flush=True)\n"
        "asyncio.run(ProcessRuntime(kernel).run(spec, Log()))\n"
    )
    own = "import os, time; print(os.getpid(), flush=True); time.sleep(600)"
    once = spec(process="release", processes={"release": ["{python}", "-c", own]})
    runner = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env=importable(),
    )  # fmt: skip
    assert runner.stdin is not None
    assert runner.stdout is not None
    runner.stdin.write(pickle.dumps((kernel, once)))
    runner.stdin.close()
    pid = int(await asyncio.wait_for(runner.stdout.readline(), 20))
    await runtime.setup()
    assert is_alive(pid)  # its runner lives
    kill(runner.pid)
    await runner.wait()
    await runtime.setup()
    await gone(pid)
    assert list((kernel.home / "process/.runs").iterdir()) == []
