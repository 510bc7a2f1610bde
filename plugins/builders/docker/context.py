"""The files of a build as an archive, made while it is sent."""

from __future__ import annotations

import asyncio
import os
import stat
import tarfile
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path

from helvetia import BuildFailed

from .ignore import Ignored

FOLDER = "context"
_BATCH = 1024 * 1024
_MIB = 2**20
_BLOCK = tarfile.BLOCKSIZE


def refuse_large(folder: Path, ignored: Ignored, limit_mb: int, section: str) -> None:
    """Look at the size of all that `packed` would send. Blocks.

    Raises:
        BuildFailed: it is larger than the disk of a build.
    """
    size = sum(member.size + _BLOCK for member, _ in _walk(folder, ignored))
    if size > limit_mb * _MIB:
        raise BuildFailed(
            f"disk limit {limit_mb} MB reached: the files of the build have {size // _MIB} MB",
            hint="Name what the build does not need in `.dockerignore`, or let the operator raise "
            f"`disk_mb` in section [{section}].",
        )


async def packed(
    folder: Path, extra: Mapping[str, bytes], ignored: Ignored
) -> AsyncIterator[bytes]:
    """Yield an archive of `folder` as `context/` and of the extra files, for root's eyes only.

    Links are packed as links, and nothing is read through them. Left out are what is ignored,
    `.git`, as BuildKit does with repositories, and sockets, pipes and devices.
    """
    blocks = _blocks(folder, extra, ignored)
    while batch := await asyncio.to_thread(_batch, blocks):
        yield batch


async def packed_file(path: Path, name: str) -> AsyncIterator[bytes]:
    """Yield an archive that holds one file under another name."""
    blocks = _file(tarfile.TarInfo(name), str(path))
    while batch := await asyncio.to_thread(_batch, blocks):
        yield batch
    yield bytes(2 * _BLOCK)


def _batch(blocks: Iterator[bytes]) -> bytes:
    collected: list[bytes] = []
    size = 0
    for block in blocks:
        collected.append(block)
        size += len(block)
        if size >= _BATCH:
            break
    return b"".join(collected)


def _blocks(folder: Path, extra: Mapping[str, bytes], ignored: Ignored) -> Iterator[bytes]:
    for name, content in extra.items():
        member = tarfile.TarInfo(name)
        member.size, member.mode = len(content), 0o600
        yield member.tobuf(tarfile.GNU_FORMAT) + content + bytes(-len(content) % _BLOCK)
    root = tarfile.TarInfo(FOLDER)
    root.type, root.mode = tarfile.DIRTYPE, 0o755
    yield root.tobuf(tarfile.GNU_FORMAT)
    for member, path in _walk(folder, ignored):
        yield from _file(member, path) if member.isreg() else (_header(member),)
    yield bytes(2 * _BLOCK)


def _walk(
    folder: Path, ignored: Ignored, prefix: str = ""
) -> Iterator[tuple[tarfile.TarInfo, str]]:
    with os.scandir(folder) as found:
        entries = sorted(found, key=lambda entry: entry.name)
    for entry in entries:
        relative = prefix + entry.name
        if relative == ".git":
            continue
        # Below a folder something may be taken in again; the list is read inside once more.
        needed = ignored.has_exceptions and entry.is_dir(follow_symlinks=False)
        if relative in ignored and not needed and relative != ".dockerignore":
            continue
        status = entry.stat(follow_symlinks=False)
        member = tarfile.TarInfo(f"{FOLDER}/{relative}")
        member.mode, member.mtime = stat.S_IMODE(status.st_mode), int(status.st_mtime)
        if entry.is_symlink():
            member.type, member.linkname = tarfile.SYMTYPE, os.readlink(entry.path)
            yield member, entry.path
        elif entry.is_dir(follow_symlinks=False):
            member.type = tarfile.DIRTYPE
            yield member, entry.path
            yield from _walk(Path(entry.path), ignored, f"{relative}/")
        elif entry.is_file(follow_symlinks=False):
            member.size = status.st_size
            yield member, entry.path


def _file(member: tarfile.TarInfo, path: str) -> Iterator[bytes]:
    with open(path, "rb") as content:
        member.size = os.fstat(content.fileno()).st_size
        yield _header(member)
        left = member.size
        while left:
            chunk = content.read(min(_BATCH, left))
            if not chunk:
                raise BuildFailed(f"`{member.name}` became shorter", hint="Deploy again.")
            left -= len(chunk)
            yield chunk
        yield bytes(-member.size % _BLOCK)


def _header(member: tarfile.TarInfo) -> bytes:
    return member.tobuf(tarfile.GNU_FORMAT, "utf-8", "surrogateescape")
