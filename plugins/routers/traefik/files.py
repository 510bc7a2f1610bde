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

LOCK_SECONDS = 25.0
"""How long somebody else may hold a lock."""

_PAUSE_SECONDS = 0.01
_STALE_SECONDS = 24 * 3600


class Layout:
    """The files below the router's private folder.

    Args:
        watched: the folder that a Traefik of somebody else's reads. Our files there have a mark
            in their names, and are as open as the folder is. Locks are there as well: processes
            of ours with other private folders, on other machines perhaps, write to it, too.
    """

    def __init__(self, folder: Path, *, watched: Path | None = None, mark: str = "") -> None:
        self.folder = folder
        self.static = folder / "traefik.yml"
        self.started = folder / "started"
        self.identity = folder / "identity.json"
        self.versions = folder / "versions.json"
        self.certificate = folder / "certificate.pem"
        self.acme = folder / "acme"
        self.process = folder / "process"
        self.dynamic = watched or folder / "dynamic"
        self.shared = self.dynamic / f"_helvetia{mark}.yml"
        self._prefix = f"helvetia{mark}-" if mark else ""
        self._watched = watched
        # A rename is atomic within one file system only.
        self._staging = watched / f".helvetia{mark}" if watched else folder / "staged"
        self._locks = (self._staging if watched else folder) / "locks"
        self.lock = self._locks / "traefik"

    def route(self, service_id: str) -> Path:
        """Return the file of a service's route."""
        return self.dynamic / f"{self._prefix}{service_id}.yml"

    def routes(self) -> list[Path]:
        """Return the files that may be routes."""
        return sorted(self.dynamic.glob(f"{self._prefix}*.yml"))

    def route_lock(self, service_id: str) -> Path:
        """Return the lock file of a service's route."""
        return self._locks / f"{service_id}.route"

    def remember(self, service_id: str, generation: int) -> None:
        """Keep the generation at which a route was taken away; its lock is held."""
        # A full disk must not keep a route alive.
        with contextlib.suppress(OSError):
            self.route_lock(service_id).write_text(str(generation))

    def retired(self, service_id: str) -> int:
        """Return the generation at which a route was taken away last, 0 if it never was."""
        return int(read(self.route_lock(service_id)) or 0)

    def write(self, path: Path, text: str) -> None:
        """Put a file in place atomically and durably; only its owner may read it.

        The caller holds the file's lock. The unfinished file is outside of Traefik's folder:
        there it would be one more change to react to.
        """
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        is_watched = path.parent == self._watched
        folder = self._staging if is_watched else self.folder
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        unfinished = folder / f".{path.name}.new"
        try:
            handle = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            self._fill(handle, unfinished, text, is_watched=is_watched)
            os.replace(unfinished, path)
        except BaseException:
            unfinished.unlink(missing_ok=True)
            raise

    @contextlib.asynccontextmanager
    async def staged(self, *texts: str) -> AsyncIterator[list[Path]]:
        """Lend durable files with these texts, to be renamed to where they are wanted.

        The slow part happens in a thread before the block, so that the rename itself can be
        done at once: one in a thread would outlive a cancel. They are locked meanwhile, so that
        nobody takes them for what a killed process left, whatever the clock says.
        """
        writing = asyncio.ensure_future(asyncio.to_thread(self._stage, texts))
        try:
            staged = await asyncio.shield(writing)
        except asyncio.CancelledError:
            writing.add_done_callback(_drop_staged)
            raise
        try:
            yield list(staged)
        finally:
            _drop(staged)

    def _stage(self, texts: tuple[str, ...]) -> dict[Path, int]:
        """Return the files and the descriptors that hold their locks."""
        self._staging.mkdir(mode=0o700, parents=True, exist_ok=True)
        staged: dict[Path, int] = {}
        try:
            for text in texts:
                handle, name = tempfile.mkstemp(dir=self._staging)
                staged[Path(name)] = os.dup(handle)
                _try_lock(handle)
                self._fill(handle, Path(name), text, is_watched=self._watched is not None)
        except BaseException:
            _drop(staged)
            raise
        return staged

    def _fill(self, handle: int, path: Path, text: str, *, is_watched: bool) -> None:
        """Write a file durably; one for the watched folder is for those who may read that."""
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        if not is_watched:
            return
        status = self.dynamic.stat()
        path.chmod(0o600 | status.st_mode & 0o044)
        with contextlib.suppress(PermissionError):
            os.chown(path, -1, status.st_gid)

    def sweep(self) -> None:
        """Remove what a killed process left staged, and what is kept of routes long gone."""
        for path in self._staging.glob("*"):
            if path != self._locks and _is_stale(path):
                _unlink_unless_locked(path)
        for path in self._locks.glob("*.route"):
            if _is_stale(path) and not self.route(path.stem).exists():
                _unlink_unless_locked(path)


def read(path: Path) -> str | None:
    """Return the text of a file, None if there is none."""
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None


def _is_stale(path: Path) -> bool:
    try:
        return time.time() - path.stat().st_mtime > _STALE_SECONDS
    except FileNotFoundError:
        return False


def _unlink_unless_locked(path: Path) -> None:
    with contextlib.suppress(FileNotFoundError), path.open() as file:
        if _try_lock(file.fileno()):
            path.unlink()


@contextlib.asynccontextmanager
async def locked(path: Path, seconds: float = LOCK_SECONDS) -> AsyncIterator[None]:
    """Hold a lock that other processes see and that the kernel drops if this one dies.

    Raises:
        TimeoutError: somebody else held it all the time.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    handle = _open(path)
    try:
        async with asyncio.timeout(seconds):
            # A thread that blocks in flock could not be cancelled.
            while not (_try_lock(handle) and _is_at(handle, path)):
                await asyncio.sleep(_PAUSE_SECONDS)
                # A lock on a file that was swept away keeps nobody out.
                if not _is_at(handle, path):
                    os.close(handle)
                    handle = _open(path)
        yield
    finally:
        os.close(handle)


def _open(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)


def _is_at(handle: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(handle), path.stat())
    except FileNotFoundError:
        return False


def _try_lock(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _drop(staged: dict[Path, int]) -> None:
    for path, handle in staged.items():
        path.unlink(missing_ok=True)
        os.close(handle)


def _drop_staged(writing: asyncio.Future[dict[Path, int]]) -> None:
    if not writing.cancelled() and writing.exception() is None:
        _drop(writing.result())
