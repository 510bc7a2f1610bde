"""What every runtime promises of processes that run once, at a terminal or not."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from helvetia.kernel.contracts.artifact import DIRECTORY
from helvetia.kernel.contracts.runtime import InstanceSpec, Terminal
from helvetia.kernel.errors import ReleaseFailed

from .base import Conformance, Lines, cancel_midway, eventually, read_files, repeated

_SHOWN_SECONDS = 30
_TYPIST = """
import os, signal, sys, time
def size(*_):
    columns, rows = os.get_terminal_size()
    # A signal may come in the middle of a print, which may not be begun twice.
    os.write(1, f"{rows} {columns} {'now' if _ else 'at first'}\\n".encode())
for _ in range(100):
    if os.get_terminal_size().columns == 101:
        break
    time.sleep(0.02)
signal.signal(signal.SIGWINCH, size)
size()
print("got", input(), flush=True)
try:
    time.sleep(60)
except KeyboardInterrupt:
    print("caught", flush=True)
sys.exit(int(input()))
"""


class Lifeline:
    """Counts the process trees of the sample program that are alive."""

    def __init__(self) -> None:
        self.alive = 0
        self.port = 0
        self.stack = contextlib.ExitStack()

    async def take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Hold one connection until its last process is gone."""
        self.alive += 1
        self.stack.callback(writer.close)
        with contextlib.suppress(OSError):
            await reader.read()
        self.alive -= 1

    async def until(self, count: int, seconds: float = 15) -> None:
        """Wait until so many trees are alive."""

        async def alive() -> int:
            return self.alive

        await eventually(alive, lambda now: now == count, seconds)


class OneOffConformance(Conformance):
    """The part of the suite for runtimes."""

    async def test_run(self, ready: Any, spec: InstanceSpec) -> None:
        """Runs a process once, with its output in the log, and returns its exit code."""
        log = Lines()
        assert await ready.run(replace(spec, process="fail"), log) == 3
        assert "it says why" in log.text
        assert list(await ready.list()) == [], "it is no instance"
        with pytest.raises(ReleaseFailed):
            await ready.run(replace(spec, process="not-a-process"), Lines())

    async def test_run_in_copy(self, ready: Any, spec: InstanceSpec) -> None:
        """Runs it in a copy of its own: what it writes is in no release."""
        artifact = spec.artifact.artifact
        before = read_files(artifact.folder) if artifact.kind == DIRECTORY else {}
        assert await ready.run(replace(spec, process="scribble"), Lines()) == 0
        if artifact.kind == DIRECTORY:
            assert read_files(artifact.folder) == before

    async def test_run_command(self, ready: Any, spec: InstanceSpec) -> None:
        """Runs the words of a person to the letter, in place of a process of the artifact."""
        log, words = Lines(), ("$WORD", "{workdir}", "two  words", "*")
        show = ("python3", "-c", "import sys; print('|'.join(sys.argv[1:]))")
        assert await ready.run(replace(spec, command=(*show, *words)), log) == 0
        assert log.output.decode().splitlines()[0] == "|".join(words)

    async def test_terminal(self, ready: Any, spec: InstanceSpec) -> None:
        """Runs a command at a terminal: what is typed arrives, Ctrl-C and the size as well."""
        command = ("python3", "-c", _TYPIST)
        async with self._terminal(ready, replace(spec, command=command)) as terminal:
            await self._shown(terminal, "33 101 at first")
            await terminal.write(b"typed\n")
            await self._shown(terminal, "got typed")
            rows = itertools.cycle((22, 23))
            async with repeated(lambda: terminal.resize(44, next(rows))):
                await self._shown(terminal, "22 44 now")
            await terminal.write(b"\x03")
            await self._shown(terminal, "caught")
            await terminal.write(b"5\n")
            while await terminal.read():
                pass
            assert await terminal.wait() == 5
            await terminal.write(b"too late")

    async def test_terminal_closed(
        self, ready: Any, spec: InstanceSpec, lifeline: Lifeline
    ) -> None:
        """Ends the whole process tree when the terminal is closed, which may be said twice."""
        async with self._terminal(ready, replace(spec, process="hang")) as terminal:
            await lifeline.until(1)
            await terminal.close()
            await lifeline.until(0, 2)
        assert list(await ready.list()) == [], "it is no instance"

    async def test_run_cancelled(self, ready: Any, spec: InstanceSpec, lifeline: Lifeline) -> None:
        """Ends the whole process tree of it when it is cancelled or its time is up."""
        work = ready.run(replace(spec, process="hang"), Lines())
        await cancel_midway(work, lambda: lifeline.alive)
        await lifeline.until(0, 2)

    @contextlib.asynccontextmanager
    async def _terminal(self, runtime: Any, spec: InstanceSpec) -> AsyncIterator[Terminal]:
        terminal = await runtime.terminal(spec, 101, 33)
        if terminal is None:
            pytest.skip("it has no terminals")
        try:
            yield terminal
        finally:
            await terminal.close()

    async def _shown(self, terminal: Terminal, text: str) -> None:
        """Read until a text is shown."""
        seen = b""
        async with asyncio.timeout(_SHOWN_SECONDS):
            while text.encode() not in seen:
                data = await terminal.read()
                assert data, f"the terminal ended after {seen!r}"
                seen += data
