"""Look at and copy files of a checkout that nobody trusts: bounded, and never out of it."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

READ_LIMIT = 256 * 1024


@dataclass(frozen=True, slots=True)
class Tree:
    """What `clone_tree` or `fingerprint` saw: how many files, and a digest of their state."""

    files: int
    digest: str


def inside(root: Path, path: Path) -> bool:
    """Tell whether `path`, with every link followed, is `root` or below it."""
    return path.resolve().is_relative_to(root.resolve())


def is_file(root: Path, name: str) -> bool:
    """Tell whether `name` is a regular file that does not lead out of `root`."""
    path = root / name
    return path.is_file() and inside(root, path)


def is_folder(root: Path, name: str) -> bool:
    """Tell whether `name` is a folder that does not lead out of `root`."""
    path = root / name
    return path.is_dir() and inside(root, path)


def read_text(root: Path, name: str, limit: int = READ_LIMIT) -> str | None:
    """Return up to `limit` bytes of a file as text; None if there is no such regular file."""
    if not is_file(root, name):
        return None
    try:
        # A pipe put in the file's place must not make us wait for a writer.
        descriptor = os.open(root / name, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    with open(descriptor, "rb") as stream:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return None
        return stream.read(limit).decode("utf-8", "replace")


def read_json(root: Path, name: str) -> dict[str, object] | None:
    """Return the JSON object in a file; None if there is none to read."""
    text = read_text(root, name)
    if text is None:
        return None
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def section(value: dict[str, object], name: str) -> dict[str, str]:
    """Return the text entries of an object inside an object, such as `scripts`."""
    entries = value.get(name)
    if not isinstance(entries, dict):
        return {}
    return {key: text for key, text in entries.items() if isinstance(text, str)}


def remove(path: Path) -> None:
    """Remove a file, a link or a whole folder; quiet if there is nothing."""
    if path.is_symlink() or path.is_file():
        path.unlink(missing_ok=True)
    elif path.exists():
        shutil.rmtree(path)


def fingerprint(folder: Path) -> Tree:
    """Describe the state of every file below `folder` by path, size and time of change."""
    digest = hashlib.sha256()
    files = 0
    for entry, relative in _walk(folder, ""):
        state = entry.stat(follow_symlinks=False)
        digest.update(
            f"{relative}\0{state.st_size}\0{state.st_mtime_ns}\n".encode(errors="replace")
        )
        files += 1
    return Tree(files, digest.hexdigest())


def clone_tree(source: Path, target: Path, *, link: bool) -> int:
    """Copy a folder with its symbolic links, by hard links if asked and possible.

    Returns how many files there are. `target` must not exist.
    """
    target.mkdir(parents=True)
    files = 0
    with os.scandir(source) as entries:
        for entry in sorted(entries, key=lambda entry: entry.name):
            place = target / entry.name
            if entry.is_symlink():
                place.symlink_to(os.readlink(entry.path))
            elif entry.is_dir():
                files += clone_tree(Path(entry.path), place, link=link)
            else:
                files += 1
                if link:
                    with contextlib.suppress(OSError):
                        os.link(entry.path, place)
                        continue
                shutil.copy2(entry.path, place)
    shutil.copymode(source, target)
    return files


def _walk(folder: Path, prefix: str) -> Iterator[tuple[os.DirEntry[str], str]]:
    with os.scandir(folder) as found:
        entries = sorted(found, key=lambda entry: entry.name)
    for entry in entries:
        relative = prefix + entry.name
        if entry.is_dir(follow_symlinks=False):
            yield from _walk(Path(entry.path), relative + "/")
        elif entry.is_file(follow_symlinks=False):
            yield entry, relative
