"""Uploaded archives, kept under the digest of their bytes."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import os
import re
import tempfile
import time
from collections.abc import AsyncIterator, Collection
from pathlib import Path
from typing import IO

from helvetia.kernel.errors import InvalidInput, TooLarge

_DIGEST = re.compile(r"[0-9a-f]{64}")
_INCOMING = ".incoming-"
_LEFTOVER_SECONDS = 24 * 3600


class UploadStore:
    """Archives in one folder; an archive is there whole or not at all, whatever crashes."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def add(self, chunks: AsyncIterator[bytes], *, max_bytes: int, message: str) -> str:
        """Keep an archive and return its digest; the same bytes are kept once.

        Raises:
            TooLarge: more than `max_bytes` came.
            InvalidInput: nothing came.
        """
        temporary, descriptor = await asyncio.to_thread(self._open)
        digest = hashlib.sha256()
        size = 0
        try:
            with os.fdopen(descriptor, "wb") as file:
                async for chunk in chunks:
                    size += len(chunk)
                    if size > max_bytes:
                        raise TooLarge(
                            f"The archive is larger than {max_bytes} bytes.",
                            hint="Leave out what the build makes anew with .helvetiaignore.",
                        )
                    digest.update(chunk)
                    await asyncio.to_thread(file.write, chunk)
                if not size:
                    raise InvalidInput("archive", "it is empty")
                await asyncio.to_thread(_sync, file)
            await asyncio.to_thread(self._keep, temporary, digest.hexdigest(), message)
        finally:
            with contextlib.suppress(FileNotFoundError):
                temporary.unlink()
        return digest.hexdigest()

    def path(self, digest: str) -> Path:
        """Return where the archive of this digest is or would be.

        Raises:
            InvalidInput: it is not a digest.
        """
        return self._folder / f"{_checked(digest)}.tar.gz"

    def notes(self, digest: str) -> dict[str, str]:
        """Return what is known beside the bytes: `message`, and `name` if somebody gave one."""
        try:
            notes = json.loads((self._folder / f"{_checked(digest)}.json").read_text("utf-8"))
        except (FileNotFoundError, ValueError):
            return {}
        if not isinstance(notes, dict):
            return {}
        return {str(key): value for key, value in notes.items() if isinstance(value, str)}

    def remove_leftovers(self) -> int:
        """Remove what uploads that a crash cut off left behind; return how many there were."""
        removed = 0
        before = time.time() - _LEFTOVER_SECONDS
        for file in self._folder.glob(f"{_INCOMING}*"):
            # Another process may be writing a younger one, or be removing this one as well.
            with contextlib.suppress(FileNotFoundError):
                if file.stat().st_mtime < before:
                    file.unlink()
                    removed += 1
        return removed

    def remove_unused(self, used: Collection[str]) -> None:
        """Remove archives older than a day whose digest is not among the `used`."""
        before = time.time() - _LEFTOVER_SECONDS
        for file in self._folder.glob("*"):
            with contextlib.suppress(FileNotFoundError):
                if file.name.partition(".")[0] not in used and file.stat().st_mtime < before:
                    file.unlink()

    def _open(self) -> tuple[Path, int]:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(prefix=_INCOMING, dir=self._folder)
        return Path(name), descriptor

    def _keep(self, temporary: Path, digest: str, message: str) -> None:
        # The notes first: an archive that can be found has its message.
        descriptor, name = tempfile.mkstemp(prefix=_INCOMING, dir=self._folder)
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                json.dump({"message": message}, file)
                _sync(file)
            os.replace(name, self._folder / f"{digest}.json")
        finally:
            Path(name).unlink(missing_ok=True)
        os.replace(temporary, self.path(digest))
        folder = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _sync(file: IO[bytes] | IO[str]) -> None:
    file.flush()
    os.fsync(file.fileno())


def _checked(digest: str) -> str:
    if not _DIGEST.fullmatch(digest):
        raise InvalidInput(
            "source", "an upload is named by the 64 hexadecimal digits of its SHA-256"
        )
    return digest
