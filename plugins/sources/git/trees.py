"""From a fetched commit to files: measured before they are written, checked after."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
from pathlib import Path

from helvetia import LogSink, SourceError
from helvetia.plugins.archives import leads_out

from .failures import explain
from .session import GitSession, Output, too_large

_MIB = 1024 * 1024
_LONGEST_RECORD = 64 * 1024


class TreeReader(Output):
    """Counts the entries of `git ls-tree -r -l -z` while they come, however many there are."""

    def __init__(self, *, max_files: int, max_mib: int) -> None:
        super().__init__()
        self.files = 0
        self.bytes = 0
        self.links: list[str] = []
        self.submodules: dict[str, str] = {}
        """The commit of each submodule, by its path."""
        self._max_files = max_files
        self._max_mib = max_mib
        self._rest = b""

    def take(self, data: bytes) -> None:
        """Read the whole records of a chunk."""
        *records, self._rest = (self._rest + data).split(b"\0")
        for record in records:
            facts, _, path = record.partition(b"\t")
            mode, _, sha, size = facts.split()
            self.files += 1
            if mode == b"160000":
                self.submodules[os.fsdecode(path)] = sha.decode()
                continue
            self.bytes += int(size)
            if mode == b"120000":
                self.links.append(os.fsdecode(path))
        if self.bytes > self._max_mib * _MIB:
            self.overflow = too_large(self._max_mib).message
        elif self.files > self._max_files or len(self._rest) > _LONGEST_RECORD:
            self.overflow = f"The repository holds more than {self._max_files} files."


async def write_tree(
    session: GitSession, sha: str, folder: Path, tree: TreeReader, log: LogSink
) -> None:
    """Write the files of a fetched commit into `folder`, all or none.

    Raises:
        SourceError: there are too many or too large files, or a link leads out of `folder`.
    """
    repository = f"--git-dir={session.repository}"
    listed = await session.run(
        repository, "ls-tree", "-r", "-l", "-z", "--full-tree", sha, output=tree
    )
    if listed.code:
        raise explain(listed.errors, session.remote)
    try:
        written = await session.run(
            repository, f"--work-tree={folder}", "-c", "core.bare=false",
            "checkout", "--quiet", "--force", "--detach", sha,
        )  # fmt: skip
        if written.code:
            raise explain(written.errors, session.remote)
        await asyncio.to_thread(_check_links, folder, tree.links)
    except BaseException:
        await asyncio.shield(asyncio.to_thread(empty, folder))
        raise
    log.line(f"Checked out {tree.files} files, {tree.bytes / _MIB:.1f} MiB")


def _check_links(folder: Path, links: list[str]) -> None:
    for link in links:
        if leads_out(folder, link):
            target = os.readlink(folder / link)
            raise SourceError(
                f"The symbolic link `{link}` leads out of the repository, to `{target}`.",
                hint="Remove it or let it point at a file of the repository by a relative path.",
            )


def empty(folder: Path) -> None:
    """Remove everything in a folder."""
    with contextlib.suppress(FileNotFoundError):
        for entry in os.scandir(folder):
            if entry.is_dir(follow_symlinks=False):
                shutil.rmtree(entry.path, ignore_errors=True)
            else:
                os.unlink(entry.path)
