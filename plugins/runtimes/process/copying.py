"""Copies of an artifact: cheap where the file system can share blocks."""

from __future__ import annotations

import fcntl
import os
import shutil
from pathlib import Path

_FICLONE = 0x40049409
GRAVE = ".gone-"
"""Begins the name of a folder that is being removed."""


def copy_artifact(source: Path, target: Path) -> None:
    """Make `target` a copy of `source`; it appears only when it is complete."""
    if target.is_dir():
        return
    partial = target.with_name(f"{target.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    shutil.copytree(source, partial, symlinks=True, copy_function=_copy)
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
