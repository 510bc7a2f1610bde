"""What all six families promise, and what the suites share."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import functools
import inspect
import itertools
import os
import pickle
import re
import shutil
import signal
import sys
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import psutil
import pytest
import pytest_asyncio

from helvetia.kernel.contracts.base import Check, Provider
from helvetia.kernel.errors import HelvetiaError

from .kernel import TestKernel, make, tables_of

Value = TypeVar("Value")
_NAME = re.compile(r"[a-z][a-z0-9-]{0,31}")
_CHECK_SECONDS = 10.0
_LONGEST_SECONDS = 90.0
_END_SECONDS = 5.0
# Variables of this beginning are handed on to every program that the platform runs.
_MARK = "PIP_HELVETIA_CONFORMANCE"


@dataclass
class Lines:
    """A log sink that remembers."""

    said: list[str] = field(default_factory=list)
    output: bytearray = field(default_factory=bytearray)

    def line(self, text: str) -> None:
        """Keep what the platform says."""
        self.said.append(text)

    def write(self, data: bytes, stream: str = "stdout") -> None:
        """Keep what a program says."""
        self.output += data

    @property
    def text(self) -> str:
        """All of it."""
        return "\n".join([*self.said, self.output.decode("utf-8", "replace")])


@contextlib.asynccontextmanager
async def repeated(act: Callable[[], Awaitable[None]], seconds: float = 3) -> AsyncIterator[None]:
    """Do something again and again meanwhile: a program may be told just before it listens."""

    async def go_on() -> None:
        while True:
            await act()
            await asyncio.sleep(seconds)

    task = asyncio.create_task(go_on())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


async def eventually(
    ask: Callable[[], Awaitable[Value]], accept: Callable[[Value], object], seconds: float = 15
) -> Value:
    """Ask until the answer is accepted; a failure shows the last answer."""
    value = await ask()
    try:
        async with asyncio.timeout(seconds):
            while not accept(value):
                await asyncio.sleep(0.02)
                value = await ask()
    except TimeoutError:
        pytest.fail(f"not within {seconds:g} s; the last answer was {value!r}")
    return value


async def refusal(work: Awaitable[object], *kinds: type[HelvetiaError]) -> HelvetiaError | None:
    """Return the error with which work was refused, which must have words; None if it was not."""
    try:
        await work
    except kinds as error:
        refused: HelvetiaError = error
    else:
        return None
    assert refused.message.strip(), f"{type(refused).__name__} without a word"
    return refused


async def cancel_midway(
    work: Coroutine[Any, Any, object], begun: Callable[[], object] | None = None
) -> None:
    """Cut work off in the middle, and see that it ends soon and leaves no program running.

    The middle is when `begun` says so; otherwise when a first program of it runs.
    """
    before, mark = programs(), uuid.uuid4().hex
    os.environ[_MARK] = mark
    try:
        await cut_off(work, begun or (lambda: programs() - before))
    finally:
        del os.environ[_MARK]

    async def left() -> set[int]:
        return await asyncio.to_thread(lambda: (programs() - before) | marked(mark))

    try:
        await eventually(left, lambda now: not now, _END_SECONDS)
    finally:
        for pid in await left():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


async def cut_off(work: Coroutine[Any, Any, object], begun: Callable[[], object]) -> None:
    """Let the time of work be up when `begun` says so, and see that it ends soon.

    The kernel ends a verb in one way only: it is cancelled, by the time limit around each call
    as by the user who calls a deployment off. The limit here is the kernel's.
    """
    limit = asyncio.timeout(None)

    async def bounded() -> None:
        async with limit:
            await work

    task = asyncio.ensure_future(bounded())
    while not (task.done() or begun()):
        await asyncio.sleep(0.005)
    await asyncio.sleep(0)  # whatever `begun` says, the verb is called and its limit counts
    if not task.done():
        limit.reschedule(asyncio.get_running_loop().time())
    done, _ = await asyncio.wait({task}, timeout=_END_SECONDS)
    if not done:
        task.cancel()
        pytest.fail(f"it still runs {_END_SECONDS:g} s after its time was up")
    error = task.exception()
    if error and not (isinstance(error, TimeoutError) and limit.expired()):
        raise error


def after(turns: int) -> Callable[[], bool]:
    """Say that work has begun at the given turn of asking, 5 ms each."""
    asked = itertools.count()
    return lambda: next(asked) >= turns


def programs() -> set[int]:
    """Return the live programs started from this process."""
    found = set()
    for child in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            if child.status() != psutil.STATUS_ZOMBIE:
                found.add(child.pid)
    return found


def marked(mark: str) -> set[int]:
    """Return the programs with the mark in their environment, also those without a parent."""
    found = set()
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.environ().get(_MARK) == mark:
                found.add(process.pid)
    return found


def write_files(folder: Path, files: Mapping[str, str]) -> Path:
    """Write a project into a folder; a file that begins with `#!` is made executable."""
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
        path.chmod(0o755 if text.startswith("#!") else 0o644)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def read_files(folder: Path) -> dict[str, bytes]:
    """Return all files below a folder; a link as what it leads to."""
    return {
        str(path.relative_to(folder)): os.readlink(path).encode()
        if path.is_symlink()
        else path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_symlink() or path.is_file()
    }


def _limited(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., Any]:
    @functools.wraps(test)
    async def limited(*arguments: Any, **named: Any) -> None:
        limit = asyncio.timeout(_LONGEST_SECONDS)
        try:
            async with limit:
                await test(*arguments, **named)
        except TimeoutError:
            if limit.expired():
                pytest.fail(f"it took longer than {_LONGEST_SECONDS:g} s")
            raise

    return limited


class Conformance:
    """Base of the suites. The first line of a test's docstring is the promise it checks.

    Attributes:
        factory: `module:name` of the class, function or hook that makes the provider; or write
            a fixture `provider`.
        settings: values for sections of settings, by section and field.
    """

    contract: ClassVar[type[Provider]]
    factory: ClassVar[str] = ""
    settings: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    helvetia_family: ClassVar[str] = ""
    pytestmark: ClassVar[Any] = pytest.mark.asyncio

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        cls.limit_tests()

    @classmethod
    def limit_tests(cls) -> None:
        """Give every test of the class a time limit: a provider that hangs must not hang CI."""
        for name, member in list(vars(cls).items()):
            if name.startswith("test_") and inspect.iscoroutinefunction(member):
                setattr(cls, name, _limited(member))

    # --- fixtures; override those that do not fit -----------------------------------------

    @pytest.fixture
    def kernel(self, tmp_path: Path) -> TestKernel:
        """A kernel over a fresh data folder."""
        return TestKernel(tmp_path / "home", self.settings)

    @pytest.fixture
    def provider(self, kernel: TestKernel) -> Provider:
        """The provider under test, as its hook makes it: not yet set up."""
        assert self.factory, "set `factory`, or write a fixture `provider`"
        return make(self.factory, kernel)

    @pytest_asyncio.fixture
    async def ready(self, provider: Any, kernel: TestKernel, tmp_path: Path) -> AsyncIterator[Any]:
        """The provider set up, with its tables. Skips where its own check says it is of no use."""
        check = await provider.check()
        if not check.ok:
            pytest.skip(f"not usable here: {check.reason}")
        async with contextlib.AsyncExitStack() as stack:
            if tables := tables_of(provider):
                await stack.enter_async_context(_database(tables, tmp_path / "tables.db"))
            stack.push_async_callback(provider.shutdown)
            stack.push_async_callback(provider.close)
            stack.push_async_callback(self.clean, provider)
            await provider.setup()
            yield provider

    async def clean(self, provider: Any) -> None:
        """Remove what a test left running."""

    # --- what suites use -------------------------------------------------------------------

    def another(self, provider: Provider, kernel: TestKernel) -> Any:
        """Make a second provider object, as another process of the platform would."""
        try:
            return make(self._made_by(provider), kernel)
        except ValueError as error:
            pytest.skip(f"a second one cannot be made, set `factory`: {error}")

    def _made_by(self, provider: Provider) -> str:
        kind = type(provider)
        return self.factory or f"{kind.__module__}:{kind.__qualname__}"

    @contextlib.asynccontextmanager
    async def killed_platform(
        self,
        provider: Provider,
        kernel: TestKernel,
        verb: str,
        *arguments: object,
        until: str = "done",
    ) -> AsyncIterator[None]:
        """Let a platform in a process of its own call a verb; it is killed with -9 at the end.

        The body begins when the verb has returned there, or with `until="begun"` before it.
        """
        self.another(provider, kernel)
        message = pickle.dumps((self._made_by(provider), kernel, verb, arguments))
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "helvetia.testing.platform",
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            start_new_session=True,
        )  # fmt: skip
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(base64.b64encode(message) + b"\n")
            await process.stdin.drain()
            for expected in ("begun",) if until == "begun" else ("begun", "done"):
                said = (await process.stdout.readline()).decode()
                assert said == f'"{expected}"\n', f"{verb} failed in another process: {said}"
            yield
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()

    # --- the promises of every provider -----------------------------------------------------

    async def test_name(self, provider: Provider) -> None:
        """Has a legal name and says what it can do."""
        assert _NAME.fullmatch(provider.name), "lower-case letters, digits, hyphens; at most 32"
        assert isinstance(provider, self.contract), f"a {self.helvetia_family} provider derives it"
        assert isinstance(provider.capabilities, frozenset)
        assert all(isinstance(word, str) for word in provider.capabilities)

    async def test_check(self, provider: Provider, kernel: TestKernel) -> None:
        """Says within 10 s, before it is set up, whether it is usable; that changes nothing."""
        before = sorted(kernel.home.rglob("*")), programs()
        async with asyncio.timeout(_CHECK_SECONDS):
            checks: list[Any] = [await provider.check(), await provider.check()]
        assert all(isinstance(check, Check) and check.reason.strip() for check in checks)
        assert (sorted(kernel.home.rglob("*")), programs()) == before, "the check left something"

    async def test_verbs(self, provider: Provider) -> None:
        """Has every verb, as a coroutine where the contract has one, with its parameters."""
        for name, verb in inspect.getmembers(self.contract, inspect.isfunction):
            own = getattr(provider, name)
            if name.startswith("_"):
                continue
            assert inspect.iscoroutinefunction(own) == inspect.iscoroutinefunction(verb), name
            inspect.signature(own).bind(*list(inspect.signature(verb).parameters)[1:])

    async def test_reopening(self, ready: Provider, kernel: TestKernel) -> None:
        """Can be closed, and set up again by the next process."""
        await ready.close()
        again = self.another(ready, kernel)
        await again.setup()
        await again.close()
        await ready.setup()


Conformance.limit_tests()


@contextlib.asynccontextmanager
async def _database(tables: list[Any], file: Path) -> AsyncIterator[None]:
    """Open a database with the tables; it is made once and copied from then on."""
    from helvetia.kernel.database import Database

    key = "-".join(app.label for app in tables)
    template = file.parents[1] / f"helvetia-tables-{key}.db"
    if not template.exists():
        await Database(f"sqlite://{template}", tables).migrate()
    shutil.copy(template, file)
    database = Database(f"sqlite://{file}", tables)
    await database.open()
    try:
        yield
    finally:
        await database.close()
