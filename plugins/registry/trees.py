"""Whole folders: copied, measured, removed."""

from __future__ import annotations

import os
import shutil
import stat
from pathlib import Path


class _CopyFailed(Exception):
    def __init__(self, problem: OSError) -> None:
        super().__init__(str(problem))
        self.problem = problem


def copy_tree(source: Path, target: Path) -> None:
    """Copy a folder with its links as they are.

    Raises:
        OSError: the first thing that went wrong.
    """
    try:
        shutil.copytree(source, target, symlinks=True, copy_function=_copy_file)
    except _CopyFailed as failed:
        raise failed.problem from failed


def _copy_file(source: str, target: str) -> None:
    try:
        shutil.copy2(source, target)
    except OSError as error:
        # copytree would go on, and tell of a full disk in words only.
        raise _CopyFailed(error) from error


def measure(folder: Path) -> tuple[int, int]:
    """Return how many files and links a folder holds and how many bytes the files have."""
    files = size = 0
    for parent, folders, names in os.walk(folder):
        links = [name for name in folders if os.path.islink(os.path.join(parent, name))]
        for name in names + links:
            status = os.lstat(os.path.join(parent, name))
            files += 1
            size += status.st_size if stat.S_ISREG(status.st_mode) else 0
    return files, size


def remove_tree(folder: Path) -> None:
    """Remove a folder if it is there, also if a build took away the right to write into it."""
    if folder.is_dir():
        for parent, _, _ in os.walk(folder):
            os.chmod(parent, 0o700)
        shutil.rmtree(folder)
