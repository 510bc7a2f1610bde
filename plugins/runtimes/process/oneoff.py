"""Processes that run once, in a copy of the release of their own."""

from __future__ import annotations

import asyncio
import contextlib
import os
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from helvetia import InstanceSpec, LogSink, ReleaseFailed
from helvetia.plugins.supervisor import Supervised, SupervisedSpec, try_lock

from .copying import copy_artifact, remove_tree
from .program import Program, command_of, make_program
from .terminal import ProcessTerminal

_POLL_SECONDS = 0.05
_PAGE = 1000
_LIVE = ("running", "restarting", "crash-loop")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Copy:
    """A copy of a release, and what is to run in it."""

    folder: Path
    program: Program
    supervised: Supervised


class OneOff:
    """The folder in which one-off processes run, each with a lock its runner holds."""

    def __init__(self, root: Path, installation: str) -> None:
        self._root = root
        self._installation = installation

    async def run(self, spec: InstanceSpec, log: LogSink) -> int:
        """Run `spec.process` to its end and return its exit code."""
        async with self._copy(spec) as copy:
            await self._start(spec, copy, copy.program.argv)
            return await self._follow(copy.supervised, log)

    async def terminal(self, spec: InstanceSpec, columns: int, rows: int) -> ProcessTerminal:
        """Begin to run `spec.process` at a terminal."""
        async with contextlib.AsyncExitStack() as stack:
            copy = await stack.enter_async_context(self._copy(spec))
            terminal = await stack.enter_async_context(
                ProcessTerminal.listening(copy.folder, copy.supervised)
            )
            await self._start(spec, copy, terminal.argv(copy.program.argv, columns, rows))
            await terminal.accept()
            terminal.whole = stack.pop_all()
            return terminal

    @contextlib.asynccontextmanager
    async def _copy(self, spec: InstanceSpec) -> AsyncIterator[_Copy]:
        """Lend a copy of the release, which is gone afterwards with all that runs in it."""
        command_of(spec)
        name = uuid.uuid4().hex
        folder = self._root / name
        lock = await asyncio.to_thread(try_lock, self._lock(name))
        if lock is None:
            raise ReleaseFailed("the folder for the process was taken by somebody else")
        try:
            work = folder / "work"
            await asyncio.to_thread(folder.mkdir, mode=0o700)
            await copy_artifact(spec.artifact.artifact.folder, work)
            program = await asyncio.to_thread(make_program, spec, work, home=work)
            yield _Copy(folder=folder, program=program, supervised=Supervised(folder / "run"))
        finally:
            # Shielded: a second cancel must not leave the tree running.
            await asyncio.shield(self._clear(name, lock))

    async def _start(self, spec: InstanceSpec, copy: _Copy, argv: list[str]) -> None:
        await copy.supervised.start(
            SupervisedSpec(
                argv=argv,
                cwd=copy.program.cwd,
                environment=copy.program.environment,
                secrets=spec.secrets,
                owner=f"run:{self._installation}:{copy.folder.name}",
                restart=False,
                grace_seconds=spec.stop_grace_seconds,
                memory_mb=spec.limits.memory_mb,
                pids=spec.limits.pids,
                cpu=spec.limits.cpu,
            )
        )

    async def _follow(self, supervised: Supervised, log: LogSink) -> int:
        cursor = ""
        while True:
            state = await supervised.state()
            page = await supervised.logs(cursor, _PAGE)
            cursor = page.cursor
            if page.dropped:
                log.line(f"{page.dropped} lines were written too fast to be kept")
            for line in page.lines:
                log.write(line.text.encode() + b"\n", line.stream)
            if page.lines:
                continue
            if state.status not in _LIVE:
                if state.exit_code != 0:
                    log.line(state.reason)
                return 1 if state.exit_code is None else state.exit_code
            await asyncio.sleep(_POLL_SECONDS)

    async def _clear(self, name: str, lock: int) -> None:
        try:
            await Supervised(self._root / name / "run").remove()
            await asyncio.to_thread(remove_tree, self._root / name)
            await asyncio.to_thread(self._lock(name).unlink, missing_ok=True)
        finally:
            os.close(lock)

    async def collect(self) -> None:
        """End and remove what runners left that were killed themselves."""
        for path in await asyncio.to_thread(lambda: list(self._root.glob("*.lock"))):
            lock = await asyncio.to_thread(try_lock, path)
            if lock is not None:
                await self._clear(path.stem, lock)

    def _lock(self, name: str) -> Path:
        return self._root / f"{name}.lock"
