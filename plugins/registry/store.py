"""The folder of one service: content by digest, a record beside it that says it is whole."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from helvetia import Artifact, BuildFailed, HealthCheck
from helvetia.plugins.archives import content_digest

from .trees import copy_tree, measure, remove_tree

_LOCK = ".lock"
_RECORD = ".json"
_PENDING = ".pending"
_INCOMING = ".incoming"
# Another file system, or a folder that its owner himself may not change.
_MOVE_REFUSED = (errno.EXDEV, errno.EACCES, errno.EPERM)


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """An artifact that is kept, at its new location."""

    digest: str
    bytes: int
    files: int
    artifact: Artifact


class Store:
    """Keeps the artifacts of one service. Every method blocks; none can be left half done.

    `<digest>.json` is written last and removed first, so that it exists only beside a whole
    folder. Until then its text is in `<digest>.pending`, by which the next `keep` finishes what
    a crash interrupted after the folder was moved.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def keep(self, artifact: Artifact) -> Kept:
        """Move the artifact's folder in, or copy it from another file system.

        Raises:
            BuildFailed: there is no such folder.
            OSError: it cannot be kept; nothing of it is left here.
        """
        source = artifact.folder
        with self._locked():
            self._finish_interrupted()
            if not source.is_dir() or source.is_symlink():
                return self._found_again(artifact)
            digest = _digest(artifact)
            if not self.has(digest):
                self._take_in(artifact, digest)
            return self._kept(digest)

    def has(self, digest: str) -> bool:
        """Tell whether an artifact is here, complete."""
        return self._path(digest).is_dir() and bool(self._record(digest, _RECORD))

    def digests(self) -> list[str]:
        """Return what is here, complete."""
        found = (path.stem for path in self._folder.glob(f"*{_RECORD}"))
        return sorted(digest for digest in found if self.has(digest))

    def delete(self, digest: str) -> None:
        """Remove an artifact: first the word that it is whole."""
        if not self._folder.is_dir():
            return
        with self._locked():
            for suffix in (_RECORD, _PENDING):
                self._path(digest, suffix).unlink(missing_ok=True)
            _sync(self._folder)
            remove_tree(self._path(digest))
            if [path.name for path in self._folder.iterdir()] == [_LOCK]:
                (self._folder / _LOCK).unlink()
                self._folder.rmdir()

    def _take_in(self, artifact: Artifact, digest: str) -> None:
        target, pending = self._path(digest), self._path(digest, _PENDING)
        # Without its record a folder may be what is left of a removal.
        remove_tree(target)
        try:
            files, size = measure(artifact.folder)
            record = {"source": artifact.location, "files": files, "bytes": size}
            record["artifact"] = asdict(replace(artifact, location=""))
            with pending.open("w", encoding="utf-8") as file:
                json.dump(record, file)
                file.flush()
                os.fsync(file.fileno())
            self._move(artifact.folder, target)
        except BaseException:
            pending.unlink(missing_ok=True)
            remove_tree(self._folder / _INCOMING)
            raise
        self._complete(digest)

    def _move(self, source: Path, target: Path) -> None:
        try:
            os.rename(source, target)
        except OSError as error:
            if error.errno not in _MOVE_REFUSED:
                raise
            incoming = self._folder / _INCOMING
            copy_tree(source, incoming)
            os.rename(incoming, target)

    def _complete(self, digest: str) -> None:
        _sync(self._folder)
        os.rename(self._path(digest, _PENDING), self._path(digest, _RECORD))
        _sync(self._folder)

    def _finish_interrupted(self) -> None:
        remove_tree(self._folder / _INCOMING)
        for pending in self._folder.glob(f"*{_PENDING}"):
            digest = pending.stem
            record = self._record(digest, _PENDING)
            whole = (
                record
                and self._path(digest).is_dir()
                and _digest(self._artifact(record, digest)) == digest
            )
            if whole:
                self._complete(digest)
            else:
                pending.unlink()
                remove_tree(self._path(digest))

    def _found_again(self, artifact: Artifact) -> Kept:
        """Return what an interrupted `keep` of the same folder has made."""
        digests = [
            digest
            for digest in self.digests()
            if self._record(digest, _RECORD).get("source") == artifact.location
        ]
        if digests:
            return self._kept(max(digests, key=self._kept_at))
        raise BuildFailed("the built folder is gone", hint="deploy again")

    def _kept(self, digest: str) -> Kept:
        record = self._record(digest, _RECORD)
        return Kept(
            digest=digest,
            bytes=record["bytes"],
            files=record["files"],
            artifact=self._artifact(record, digest),
        )

    def _artifact(self, record: dict[str, Any], digest: str) -> Artifact:
        fields: dict[str, Any] = dict(record["artifact"], location=str(self._path(digest)))
        if fields["health_check"] is not None:
            fields["health_check"] = HealthCheck(**fields["health_check"])
        return Artifact(**fields)

    def _kept_at(self, digest: str) -> int:
        return self._path(digest, _RECORD).stat().st_mtime_ns

    def _record(self, digest: str, suffix: str) -> dict[str, Any]:
        try:
            record: dict[str, Any] = json.loads(self._path(digest, suffix).read_bytes())
        except (OSError, ValueError):
            return {}
        return record

    def _path(self, digest: str, suffix: str = "") -> Path:
        return self._folder / f"{digest}{suffix}"

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        while (handle := self._lock()) is None:
            pass
        try:
            yield
        finally:
            os.close(handle)

    def _lock(self) -> int | None:
        """Wait for the lock; None if who had it has removed the folder."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = self._folder / _LOCK
        with contextlib.suppress(FileNotFoundError):
            handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            fcntl.flock(handle, fcntl.LOCK_EX)
            if path.exists() and os.path.samestat(os.fstat(handle), path.stat()):
                return handle
            os.close(handle)
        return None


def _digest(artifact: Artifact) -> str:
    """Return the digest of everything that makes a difference when the artifact runs."""
    check = asdict(artifact.health_check) if artifact.health_check else None
    parts = [
        content_digest(artifact.folder),
        artifact.kind,
        artifact.processes,
        artifact.environment,
        check,
        artifact.read_only,
    ]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
