"""Folders as archives and as digests: packed by the command line, unpacked with distrust."""

from __future__ import annotations

import errno
import fnmatch
import gzip
import hashlib
import io
import os
import posixpath
import shutil
import stat
import sys
import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, BinaryIO, cast

from helvetia import InvalidInput

IGNORE_FILE = ".helvetiaignore"
ALWAYS_IGNORED = frozenset({".git", "node_modules", ".venv", "__pycache__"})
_MAX_LINKS = 40
_MAX_HEADER = 1024 * 1024
_ENTRY_OVERHEAD = 4096
_CHUNK = 1024 * 1024
# tarfile copies what is left of its buffer at every read: a large one is slow.
_BUFFER = 32 * 1024
# What a name in an archive can bring about; a full disk is not among them.
_NAME_ERRORS = (
    errno.EEXIST, errno.EINVAL, errno.EISDIR, errno.ELOOP, errno.ENAMETOOLONG, errno.ENOTDIR,
)  # fmt: skip


def pack_folder(folder: Path, target: BinaryIO) -> int:
    """Write `folder` to `target` as a tar.gz and return how many files and links it holds.

    The same files make the same bytes: no times, no owners, sorted names. Left out are `.git`,
    `node_modules`, `.venv`, `__pycache__`, what `.helvetiaignore` names (a pattern a line,
    matched against the path and against the bare name), and sockets, pipes and devices.

    Raises:
        InvalidInput: a file cannot be read, or a symbolic link leads out of the folder.
    """
    patterns = _ignore_patterns(folder)
    count = 0
    with (
        gzip.GzipFile(filename="", mode="wb", fileobj=target, mtime=0, compresslevel=6) as stream,
        tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT) as tar,
    ):
        for path, status in _walk(folder, patterns):
            member = tarfile.TarInfo(path)
            member.mode = stat.S_IMODE(status.st_mode) & 0o777
            full = folder / path
            try:
                if stat.S_ISDIR(status.st_mode):
                    member.type = tarfile.DIRTYPE
                    tar.addfile(member)
                elif stat.S_ISLNK(status.st_mode):
                    member.type = tarfile.SYMTYPE
                    member.linkname = _inside_target(folder, path)
                    tar.addfile(member)
                    count += 1
                elif stat.S_ISREG(status.st_mode):
                    with full.open("rb") as content:
                        member.size = os.fstat(content.fileno()).st_size
                        tar.addfile(member, content)
                    count += 1
            except OSError as error:
                # Also what tarfile says of a file that shrinks while it is read.
                if error.filename is None and "unexpected end of data" not in str(error):
                    raise
                reason = error.strerror or "it changed while it was read"
                raise InvalidInput("folder", f"`{path}` cannot be read: {reason}") from error
    return count


def content_digest(folder: Path) -> str:
    """Return a SHA-256 over all names, executable bits, link targets and contents.

    Raises:
        InvalidInput: there is a socket, pipe or device, which no digest can stand for.
    """
    total = hashlib.sha256()
    for path, status in _walk(folder, ()):
        full = folder / path
        name = os.fsencode(path)
        if stat.S_ISDIR(status.st_mode):
            kind, value = b"dir", b""
        elif stat.S_ISLNK(status.st_mode):
            kind, value = b"link", os.fsencode(os.readlink(full))
        elif stat.S_ISREG(status.st_mode):
            kind = b"program" if status.st_mode & stat.S_IXUSR else b"file"
            with full.open("rb") as content:
                value = hashlib.file_digest(content, "sha256").digest()
        else:
            raise InvalidInput("folder", f"`{path}` is neither a file, a folder nor a link")
        # Lengths keep a name from passing for the end of the entry before it.
        total.update(b"%s %d %d\0%s%s" % (kind, len(name), len(value), name, value))
    return total.hexdigest()


def unpack(archive: Path, folder: Path, *, max_bytes: int, max_files: int) -> None:
    """Unpack a tar.gz from an untrusted person into `folder`, which exists and is empty.

    The limits hold while the archive is read, so that a bomb costs no more than they say. When
    the archive is refused half of it may be in `folder`; the caller throws the folder away.

    Raises:
        InvalidInput: it is damaged, too large, or has an entry that leads out of the folder,
            a device, a pipe or a hard link to something it does not hold.
    """
    try:
        with gzip.open(archive, "rb") as stream:
            limited = _Limited(stream, max_bytes, max_files * _ENTRY_OVERHEAD + _MAX_HEADER)
            with tarfile.open(
                fileobj=cast("BinaryIO", limited), mode="r|", tarinfo=_Member, bufsize=_BUFFER
            ) as tar:
                _Unpacking(folder, max_bytes, max_files).run(tar)
            # The checksum comes last: read on, or a cut archive passes for a whole one.
            while limited.read(_CHUNK):
                pass
    except (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise InvalidInput(
            "archive", f"it is damaged or not a tar.gz: {error}", hint="Pack and send it again."
        ) from error
    except (OverflowError, ValueError, RecursionError) as error:
        raise InvalidInput("archive", f"it has a malformed entry: {error}") from error
    except OSError as error:
        if error.errno not in _NAME_ERRORS:
            raise
        raise InvalidInput("archive", f"an entry cannot be written: {error.strerror}") from error


def unpack_layer(tar: tarfile.TarFile, folder: Path) -> None:
    """Unpack the files of an image of our own into `folder`, however many there are.

    Raises:
        InvalidInput: an entry leads out of the folder, or is a device or a pipe.
    """
    _Unpacking(folder, sys.maxsize, sys.maxsize).run(tar)


class _Member(tarfile.TarInfo):
    """Refuses long headers before tarfile reads them into memory as a whole."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> _Member:
        member = super().frombuf(buf, encoding, errors)
        if not member.isreg() and member.size > _MAX_HEADER:
            raise InvalidInput("archive", "it has an entry with a header over 1 MiB")
        return member


class _Limited(io.RawIOBase):
    """A stream that ends in an error once more bytes came out of it than expected."""

    def __init__(self, stream: gzip.GzipFile, max_bytes: int, overhead: int) -> None:
        self._stream = stream
        self._max_bytes = max_bytes
        self._left = max_bytes + overhead

    def read(self, size: int = -1, /) -> bytes:
        data = self._stream.read(size)
        self._left -= len(data)
        if self._left < 0:
            raise _too_large(self._max_bytes)
        return data


class _Unpacking:
    """One archive on its way into one folder."""

    def __init__(self, folder: Path, max_bytes: int, max_files: int) -> None:
        self._folder = folder
        self._max_bytes = max_bytes
        self._max_files = max_files
        self._bytes = 0
        self._links: dict[str, str] = {}

    def run(self, tar: tarfile.TarFile) -> None:
        for count, member in enumerate(tar, start=1):
            if count > self._max_files:
                raise InvalidInput("archive", f"it has more than {self._max_files} entries")
            path = _relative(member.name)
            if not path:
                continue
            # Links are made last: until then no entry can be written through one.
            if member.issym():
                if not member.linkname:
                    raise InvalidInput("archive", f"the link `{path}` names nothing")
                self._links[path] = member.linkname
                continue
            self._links.pop(path, None)
            # Not by tarfile's own filters: Debian 12 has a Python without them.
            if member.isdir():
                (self._folder / path).mkdir(parents=True, exist_ok=True)
            elif member.islnk():
                self._hard_link(path, _relative(member.linkname))
            elif member.isreg():
                self._file(tar, member, path)
            else:
                raise InvalidInput("archive", f"`{path}` is neither a file, a folder nor a link")
        for path, target in self._links.items():
            (self._folder / path).parent.mkdir(parents=True, exist_ok=True)
            self._unlink(path)
            os.symlink(target, self._folder / path)
        for path, target in self._links.items():
            if leads_out(self._folder, path):
                raise InvalidInput(
                    "archive", f"the link `{path}` leads out of the archive, to `{target}`"
                )

    def _file(self, tar: tarfile.TarFile, member: tarfile.TarInfo, path: str) -> None:
        self._bytes += member.size
        if self._bytes > self._max_bytes:
            raise _too_large(self._max_bytes)
        source = cast("IO[bytes]", tar.extractfile(member))
        (self._folder / path).parent.mkdir(parents=True, exist_ok=True)
        self._unlink(path)
        with open(self._folder / path, "xb") as target:
            shutil.copyfileobj(source, target, _CHUNK)
            # Nobody else may write, and no program takes on another user's rights.
            allowed = 0o755 if member.mode & stat.S_IXUSR else 0o644
            os.fchmod(target.fileno(), member.mode & allowed | 0o600)

    def _hard_link(self, path: str, target: str) -> None:
        original = self._folder / target
        if not original.is_file():
            raise InvalidInput("archive", f"`{path}` is a link to `{target}`, which is not in it")
        if path != target:
            (self._folder / path).parent.mkdir(parents=True, exist_ok=True)
            self._unlink(path)
            os.link(original, self._folder / path)

    def _unlink(self, path: str) -> None:
        """Make way for a second entry of the same name: as with tar, the last one wins."""
        (self._folder / path).unlink(missing_ok=True)


def _relative(name: str) -> str:
    if name.startswith("/") or "\0" in name or ".." in name.split("/"):
        raise InvalidInput("archive", f"the entry {name!r} leads out of the archive")
    path = posixpath.normpath(name)
    return "" if path == "." else path


def _too_large(max_bytes: int) -> InvalidInput:
    return InvalidInput(
        "archive",
        f"it is larger than allowed when unpacked: {max_bytes / 2**20:g} MiB",
        hint=f"Leave out what the build makes anew with {IGNORE_FILE}.",
    )


def leads_out(folder: Path, path: str) -> bool:
    """Say whether following the symbolic link `path` leaves `folder` at any step.

    Absolute targets, loops and chains that go out and come in again count as leaving; a link
    to nothing inside does not.
    """
    here: list[str] = []
    todo = [part for part in path.split("/") if part]
    links = 0
    while todo:
        part = todo.pop(0)
        if part in ("", "."):
            continue
        if part == "..":
            if not here:
                return True
            here.pop()
            continue
        here.append(part)
        try:
            target = os.readlink(folder.joinpath(*here))
        except OSError:
            continue
        links += 1
        if target.startswith("/") or links > _MAX_LINKS:
            return True
        here.pop()
        todo = target.split("/") + todo
    return False


def _inside_target(folder: Path, path: str) -> str:
    target = os.readlink(folder / path)
    if leads_out(folder, path):
        raise InvalidInput(
            "folder",
            f"the symbolic link `{path}` leads out of the folder, to `{target}`",
            hint=f"Remove it or name it in {IGNORE_FILE}.",
        )
    return target


def _ignore_patterns(folder: Path) -> tuple[str, ...]:
    try:
        text = (folder / IGNORE_FILE).read_text("utf-8")
    except FileNotFoundError:
        text = ""
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput("folder", f"{IGNORE_FILE} cannot be read: {error}") from error
    lines = (line.strip() for line in text.splitlines())
    named = (line.strip("/") for line in lines if line and not line.startswith("#"))
    return (*ALWAYS_IGNORED, *(pattern for pattern in named if pattern))


def _walk(folder: Path, patterns: tuple[str, ...]) -> Iterator[tuple[str, os.stat_result]]:
    """Yield all entries below `folder`, sorted by their relative path; links are not followed."""
    found: list[tuple[bytes, str, os.stat_result]] = []
    waiting = [""]
    while waiting:
        parent = waiting.pop()
        try:
            entries = [
                (entry.name, entry.stat(follow_symlinks=False))
                for entry in os.scandir(folder / parent)
            ]
        except OSError as error:
            raise InvalidInput(
                "folder", f"`{parent or folder}` cannot be read: {error.strerror}"
            ) from error
        for name, status in entries:
            path = posixpath.join(parent, name)
            if any(
                fnmatch.fnmatchcase(path, pattern) or fnmatch.fnmatchcase(name, pattern)
                for pattern in patterns
            ):
                continue
            found.append((os.fsencode(path), path, status))
            if stat.S_ISDIR(status.st_mode):
                waiting.append(path)
    found.sort(key=lambda item: item[0])
    for _, path, status in found:
        yield path, status
