"""A small stand-in for the kernel: a real context with the real command runner."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest

from helvetia import DIRECTORY, Artifact, BuildContext, Builder, LogSink, ResourceLimits
from helvetia.programs import base_environment, run_command
from helvetia.testing import Lines
from helvetia.testing.kernel import free_port

from .docker_building import builder_image, installation, make

__all__ = ["builder_image", "installation", "make"]
EXAMPLES = Path(__file__).parents[2] / "examples"


@dataclass
class Workshop:
    """Folders for the builds of one service."""

    place: Path
    builds: int = 0

    def context(
        self,
        *,
        settings: Mapping[str, str] | None = None,
        environment: Mapping[str, str] | None = None,
        kind: str = DIRECTORY,
    ) -> tuple[BuildContext, Lines]:
        self.builds += 1
        log = Lines()
        folders = {name: self.place / f"{name}-{self.builds}" for name in ("checkout", "output")}
        for folder in [*folders.values(), self.place / "cache"]:
            folder.mkdir(exist_ok=True, parents=True)
        owner = f"build:{self.builds}"

        async def run(
            argv: Sequence[str],
            *,
            cwd: Path,
            environment: Mapping[str, str] | None = None,
            log: LogSink | None = None,
        ) -> int:
            sink = log or lines
            return await run_command(argv, cwd=cwd, owner=owner, log=sink, environment=environment)

        lines = log
        context = BuildContext(
            service_id="s1",
            service_name="hello",
            deployment_id=f"d{self.builds}",
            cache=self.place / "cache",
            settings=dict(settings or {}),
            environment=dict(environment or {}),
            limits=ResourceLimits(),
            log=log,
            run=run,
            kind=kind,
            **folders,
        )
        return context, log

    async def build(
        self,
        builder: Builder,
        files: Mapping[str, str | bytes] | Path,
        *,
        settings: Mapping[str, str] | None = None,
        environment: Mapping[str, str] | None = None,
        kind: str = DIRECTORY,
    ) -> tuple[Artifact, Lines]:
        """Detect and build as the kernel does: what is set wins over what was found."""
        context, log = self.context(settings=settings, environment=environment, kind=kind)
        lay(context.checkout, files)
        found = await builder.detect(context.checkout)
        context.settings.update({**(found.settings or {}), **(settings or {})})
        return await builder.build(context), log


def lay(folder: Path, files: Mapping[str, str | bytes] | Path) -> Path:
    """Write files into a folder, or copy a folder there."""
    if isinstance(files, Path):
        files = {
            str(path.relative_to(files)): path.read_bytes()
            for path in files.rglob("*")
            if path.is_file() and "node_modules" not in path.parts
        }
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        if isinstance(content, bytes) and content.startswith(b"\x7fELF"):
            path.chmod(0o755)
    return folder


@pytest.fixture
def workshop(tmp_path: Path) -> Workshop:
    return Workshop(tmp_path)


@dataclass
class Running:
    """A started process of an artifact."""

    port: int
    process: asyncio.subprocess.Process

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


def expand(text: str, workdir: Path, environment: Mapping[str, str]) -> str:
    """Fill in what the runtime fills in, as far as the examples use it."""
    text = text.replace("{workdir}", str(workdir)).replace("{python}", sys.executable)
    for name, value in environment.items():
        text = text.replace(f"${{{name}:-127.0.0.1}}", value).replace(f"${name}", value)
    return text


def environment_of(artifact: Artifact, workdir: Path) -> dict[str, str]:
    own = {name: expand(value, workdir, {}) for name, value in artifact.environment.items()}
    base = base_environment()
    own["PATH"] = os.pathsep.join(filter(None, [own.get("PATH"), base["PATH"]]))
    return {**base, **own}


@contextlib.asynccontextmanager
async def started(
    artifact: Artifact, folder: Path | None = None, process: str = "web"
) -> AsyncIterator[Running]:
    """Start a process of an artifact as the process runtime does; wait until it listens."""
    workdir = folder or artifact.folder
    port = free_port()
    environment = {
        **environment_of(artifact, workdir), "PORT": str(port), "HOST": "127.0.0.1",
    }  # fmt: skip
    argv = [expand(word, workdir, environment) for word in artifact.processes[process]]
    program = shutil.which(argv[0], path=environment["PATH"]) or argv[0]
    child = await asyncio.create_subprocess_exec(
        program, *argv[1:], cwd=workdir, env=environment, start_new_session=True
    )
    try:
        async with asyncio.timeout(20):
            while not await listens(port):
                assert child.returncode is None, f"{argv} ended with {child.returncode}"
                await asyncio.sleep(0.02)
        yield Running(port, child)
    finally:
        if child.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGTERM)
            try:
                async with asyncio.timeout(10):
                    await child.wait()
            except TimeoutError:
                os.killpg(child.pid, signal.SIGKILL)
                await child.wait()


async def listens(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True


Start = Callable[..., AbstractAsyncContextManager[Running]]


@pytest.fixture
def start() -> Start:
    return started


@pytest.fixture
async def client() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(auto_decompress=False) as session:
        yield session
