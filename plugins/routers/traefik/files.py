"""The router's folder: where things are, written whole or not at all, one writer at a time."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path

_PAUSE_SECONDS = 0.01
_STALE_SECONDS = 3600


class Layout:
    """The files below the router's private folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.static = folder / "traefik.yml"
        self.started = folder / "started"
        self.identity = folder / "identity.json"
        self.certificate = folder / "certificate.pem"
        self.process = folder / "process"
        self.dynamic = folder / "dynamic"
        self.shared = self.dynamic / "_helvetia.yml"
        self.lock = folder / "locks" / "traefik"
        self._staging = folder / "staged"

    def route(self, service_id: str) -> Path:
        """Return the file of a service's route."""
        return self.dynamic / f"{service_id}.yml"

    def route_lock(self, service_id: str) -> Path:
        """Return the lock file of a service's route."""
        return self.folder / "locks" / f"{service_id}.route"

    def write(self, path: Path, text: str) -> None:
        """Put a file in place atomically and durably; only its owner may read it.

        The caller holds the file's lock. The unfinished file is outside of Traefik's folder:
        there it would be one more change to react to.
        """
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        unfinished = self.folder / f".{path.name}.new"
        try:
            handle = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            os.replace(unfinished, path)
        except BaseException:
            unfinished.unlink(missing_ok=True)
            raise

    @contextlib.asynccontextmanager
    async def staged(self, *texts: str) -> AsyncIterator[list[Path]]:
        """Lend durable files with these texts, to be renamed to where they are wanted.

        The slow part happens in a thread before the block, so that the rename itself can be
        done at once: one in a thread would outlive a cancel.
        """
        writing = asyncio.ensure_future(asyncio.to_thread(self._stage, texts))
        try:
            paths = await asyncio.shield(writing)
        except asyncio.CancelledError:
            writing.add_done_callback(_drop_staged)
            raise
        try:
            yield paths
        finally:
            _drop(paths)

    def _stage(self, texts: tuple[str, ...]) -> list[Path]:
        self._staging.mkdir(mode=0o700, parents=True, exist_ok=True)
        paths: list[Path] = []
        try:
            for text in texts:
                handle, name = tempfile.mkstemp(dir=self._staging)
                paths.append(Path(name))
                with os.fdopen(handle, "w", encoding="utf-8") as file:
                    file.write(text)
                    file.flush()
                    os.fsync(file.fileno())
        except BaseException:
            _drop(paths)
            raise
        return paths

    def sweep(self) -> None:
        """Remove what a killed process left staged."""
        for path in self._staging.glob("*"):
            with contextlib.suppress(FileNotFoundError):
                if time.time() - path.stat().st_mtime > _STALE_SECONDS:
                    path.unlink()


def read(path: Path) -> str | None:
    """Return the text of a file, None if there is none."""
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None


@contextlib.asynccontextmanager
async def locked(path: Path, seconds: float) -> AsyncIterator[None]:
    """Hold a lock that other processes see and that the kernel drops if this one dies.

    Raises:
        TimeoutError: somebody else held it all the time.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        async with asyncio.timeout(seconds):
            # A thread that blocks in flock could not be cancelled.
            while True:
                if _try_lock(handle):
                    break
                await asyncio.sleep(_PAUSE_SECONDS)
        yield
    finally:
        os.close(handle)


def _try_lock(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _drop(paths: list[Path]) -> None:
    for path in paths:
        path.unlink(missing_ok=True)


def _drop_staged(writing: asyncio.Future[list[Path]]) -> None:
    if not writing.cancelled() and writing.exception() is None:
        _drop(writing.result())
