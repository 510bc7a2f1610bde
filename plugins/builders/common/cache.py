"""Folders that are dear to make, kept from build to build under the hash of what they hang on."""

from __future__ import annotations

import asyncio
import json
import os
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from .files import clone_tree, fingerprint, remove

KEEP = 3


@dataclass(frozen=True, slots=True)
class FolderCache:
    """A few folders in one place, each `<key>/content` with `<key>/about.json` beside it.

    An entry appears by one rename when it is complete. Since its files may be hard-linked into
    a build that is free to write, their state is compared before they are used again.
    """

    place: Path

    async def take(self, key: str, target: Path, *, link: bool) -> Mapping[str, str] | None:
        """Put the folder kept under `key` at `target`; return what was noted, None if missing."""
        return await asyncio.to_thread(self._take, key, target, link)

    async def put(self, key: str, source: Path, facts: Mapping[str, str], *, link: bool) -> None:
        """Keep a clone of `source`, and forget the longest unused entries."""
        await asyncio.to_thread(self._put, key, source, dict(facts), link)

    def _take(self, key: str, target: Path, link: bool) -> Mapping[str, str] | None:
        entry = self.place / key
        try:
            about = json.loads((entry / "about.json").read_text())
            intact = fingerprint(entry / "content").digest == about.pop("state")
        except (OSError, ValueError, KeyError):
            intact, about = False, {}
        if not intact:
            remove(entry)
            return None
        remove(target)
        clone_tree(entry / "content", target, link=link)
        os.utime(entry)
        return {str(name): str(value) for name, value in about.items()}

    def _put(self, key: str, source: Path, facts: dict[str, str], link: bool) -> None:
        self._sweep()
        making = self.place / f"making-{uuid.uuid4().hex[:12]}"
        try:
            clone_tree(source, making / "content", link=link)
            facts["state"] = fingerprint(making / "content").digest
            (making / "about.json").write_text(json.dumps(facts))
            remove(self.place / key)
            making.rename(self.place / key)
        except BaseException:
            remove(making)
            raise
        entries = sorted(self.place.iterdir(), key=lambda entry: entry.stat().st_mtime)
        for old in entries[:-KEEP]:
            remove(old)

    def _sweep(self) -> None:
        # A service has one build at a time: what is half made belongs to one that died.
        self.place.mkdir(parents=True, exist_ok=True)
        for left in self.place.glob("making-*"):
            remove(left)
