"""Copies of an artifact: cheap where the file system can share blocks."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import shutil
import threading
from pathlib import Path

_FICLONE = 0x40049409
GRAVE = ".gone-"
"""Begins the name of a folder that is being removed."""


class _BrokenOff(Exception):
    """Ends a copy at once: `copytree` goes on after an OSError."""

    def __init__(self, problem: OSError | None = None) -> None:
        super().__init__(str(problem))
        self.problem = problem


async def copy_artifact(source: Path, target: Path) -> None:
    """Make `target` a copy of `source`; it appears only when it is complete.

    Nothing is written any more once this has returned or raised, also when it is cancelled.

    Raises:
        OSError: the first thing that went wrong.
    """
    stop = threading.Event()
    copying = asyncio.ensure_future(asyncio.to_thread(_copy_tree, source, target, stop))
    try:
        await asyncio.shield(copying)
    except asyncio.CancelledError:
        stop.set()
        while not copying.done():
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.wait([copying])
        if not copying.cancelled():
            copying.exception()
        raise


def _copy_tree(source: Path, target: Path, stop: threading.Event) -> None:
    if target.is_dir():
        return
    partial = target.with_name(f"{target.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)

    def copy(source: str, target: str) -> None:
        if stop.is_set():
            raise _BrokenOff
        try:
            _copy(source, target)
        except OSError as problem:
            raise _BrokenOff(problem) from problem

    try:
        shutil.copytree(source, partial, symlinks=True, copy_function=copy)
    except _BrokenOff as broken:
        if broken.problem is not None:
            raise broken.problem from broken
        return
    partial.rename(target)


def _copy(source: str, target: str) -> None:
    try:
        with open(source, "rb") as read, open(target, "wb") as write:
            fcntl.ioctl(write.fileno(), _FICLONE, read.fileno())
    except OSError:
        shutil.copyfile(source, target)
    shutil.copystat(source, target)


def remove_tree(folder: Path) -> None:
    """Remove a folder in one visible step."""
    grave = folder.with_name(f"{GRAVE}{folder.name}-{os.urandom(4).hex()}")
    try:
        folder.rename(grave)
    except FileNotFoundError:
        return
    shutil.rmtree(grave, ignore_errors=True)
