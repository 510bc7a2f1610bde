"""A Helvetia source: `example:<name>` is a folder of that name below the data folder."""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
import shutil
from collections.abc import Iterable
from pathlib import Path

from helvetia import (
    Detection,
    InvalidInput,
    Kernel,
    LogSink,
    Revision,
    Source,
    SourceAddress,
    SourceError,
    hookimpl,
)

helvetia_api = 1
_URL = re.compile(r"example:([a-z0-9-]+)")


class ExampleSource(Source):
    """Takes `example:<name>`."""

    name = "example"

    def __init__(self, kernel: Kernel) -> None:
        self._shelf = kernel.folder("example")

    def claims(self, url: str) -> Detection:
        """Claim what is written like an address of this source."""
        if _URL.fullmatch(url):
            return Detection(score=90, reason="it is written as `example:<name>`")
        return Detection(score=0, reason="it is not written as `example:<name>`")

    async def resolve(self, address: SourceAddress) -> Revision:
        """Take the digest of all files as the revision."""
        return Revision(sha=await asyncio.to_thread(_digest, self._folder(address)))

    async def checkout(
        self, address: SourceAddress, revision: Revision, folder: Path, log: LogSink
    ) -> None:
        """Copy the files, if they are still those of the revision."""
        source = self._folder(address)
        await asyncio.to_thread(shutil.copytree, source, folder, symlinks=True, dirs_exist_ok=True)
        if await asyncio.to_thread(_digest, folder) != revision.sha:
            raise SourceError("the files have changed since", hint="deploy again")
        log.line(f"copied {source.name}")

    def _folder(self, address: SourceAddress) -> Path:
        match = _URL.fullmatch(address.url)
        if match is None:
            raise InvalidInput("source", "it is not written as `example:<name>`")
        folder = self._shelf / match[1]
        if not folder.is_dir():
            raise SourceError(f"there is no {match[1]}", hint=f"put it into {self._shelf}")
        return folder


def _digest(folder: Path) -> str:
    total = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.is_symlink():
            raise SourceError(f"{path.name} is a symbolic link", hint="links are not read here")
        name, is_file = os.fsencode(path.relative_to(folder)), path.is_file()
        total.update(b"%s\0%d\0" % (name, path.stat().st_mode))
        total.update(hashlib.sha256(path.read_bytes() if is_file else b"").digest())
    return total.hexdigest()


@hookimpl
def helvetia_sources(kernel: Kernel) -> Iterable[Source]:
    """Offer the source `example`."""
    yield ExampleSource(kernel)
