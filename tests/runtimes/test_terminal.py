"""A program at a terminal of the runtime `process`."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from helvetia import ReleaseFailed, ResourceLimits, Terminal
from helvetia.plugins.runtimes.process.runtime import ProcessRuntime

from .conftest import MakeSpec, TestKernel, is_alive

SHELL = ("sh", "-c", "stty -echo; echo ready; exec sh")


@pytest.fixture
async def shell(runtime: ProcessRuntime, spec: MakeSpec) -> AsyncIterator[Terminal]:
    terminal = await runtime.terminal(spec(command=SHELL, environment={"PS1": ""}), 100, 30)
    assert await until(terminal, "ready") == "ready\r\n"
    yield terminal
    await terminal.close()


async def until(terminal: Terminal, text: str) -> str:
    """Read until a line ends that has the text in it."""
    seen = ""
    async with asyncio.timeout(10):
        while text not in seen or not seen.endswith("\n"):
            data = await terminal.read()
            assert data, f"it ended after {seen!r}"
            seen += data.decode()
    return seen


async def rest(terminal: Terminal) -> str:
    seen = b""
    async with asyncio.timeout(20):
        while data := await terminal.read():
            seen += data
    return seen.decode()


async def test_a_person_types_and_the_window_has_a_size(shell: Terminal) -> None:
    await shell.write(b"test -t 0 && echo a tty; stty size\n")
    assert await until(shell, "100") == "a tty\r\n30 100\r\n"
    await shell.resize(81, 26)
    await shell.write(b"stty size\n")
    assert await until(shell, "81") == "26 81\r\n"
    await shell.write(b"exit 5\n")
    assert await rest(shell) == ""
    assert await shell.wait() == 5
    await shell.write(b"too late\n")
    await shell.resize(1, 1)


async def test_control_c_interrupts_what_runs_and_the_shell_goes_on(shell: Terminal) -> None:
    await shell.write(b"trap 'echo caught' INT; sleep 600; echo next\n")
    await asyncio.sleep(0.3)  # ended by nothing else than the key
    await shell.write(b"\x03")
    assert "caught" in await until(shell, "caught")


async def test_it_dies_by_a_signal(shell: Terminal) -> None:
    await shell.write(b"kill -HUP $$\n")
    await rest(shell)
    assert await shell.wait() == -signal.SIGHUP


async def test_nothing_is_left_when_it_is_closed(
    runtime: ProcessRuntime, kernel: TestKernel, shell: Terminal, tmp_path: Path
) -> None:
    await shell.write(b"touch scribbled; setsid sleep 600 & echo pid $! $$\n")
    pids = [int(word) for word in (await until(shell, "pid")).split() if word.isdigit()]
    assert len(pids) == 2
    await shell.close()
    assert not any(map(is_alive, pids))
    assert list((kernel.home / "process/.runs").iterdir()) == []
    assert not (tmp_path / "artifact" / "scribbled").exists()
    await shell.close()


async def test_much_output_comes_whole_and_a_slow_reader_slows_the_program(
    runtime: ProcessRuntime, spec: MakeSpec
) -> None:
    code = (
        "import sys; sys.stdout.write('x' * 99 + chr(10) * 1)"
        + "; sys.stdout.write('y' * 3_000_000)"
    )
    terminal = await runtime.terminal(spec(command=("python3", "-c", code)), 80, 24)
    await asyncio.sleep(0.2)
    seen = await rest(terminal)
    assert (len(seen), seen.count("y")) == (99 + 2 + 3_000_000, 3_000_000)
    assert await terminal.wait() == 0
    await terminal.close()


async def test_words_of_a_person_are_taken_to_the_letter(
    runtime: ProcessRuntime, spec: MakeSpec
) -> None:
    words = ("printf", "%s|", "$HOME", "${A:-b}", "{workdir}", "a b", "*")
    terminal = await runtime.terminal(spec(command=words), 80, 24)
    assert await rest(terminal) == "$HOME|${A:-b}|{workdir}|a b|*|"
    await terminal.close()


async def test_the_limits_hold_at_a_terminal(runtime: ProcessRuntime, spec: MakeSpec) -> None:
    code = "x = bytearray(200_000_000)\nprint('got it', flush=True)\nimport time; time.sleep(60)"
    limited = spec(command=("python3", "-c", code), limits=ResourceLimits(memory_mb=64))
    terminal = await runtime.terminal(limited, 80, 24)
    await rest(terminal)
    assert await terminal.wait() == -signal.SIGKILL
    await terminal.close()


async def test_what_cannot_be_begun_leaves_nothing(
    runtime: ProcessRuntime, kernel: TestKernel, spec: MakeSpec
) -> None:
    with pytest.raises(ReleaseFailed, match="there is no program `no-such"):
        await runtime.terminal(spec(command=("no-such-program",)), 80, 24)
    assert list((kernel.home / "process/.runs").iterdir()) == []
