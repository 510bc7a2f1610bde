"""What layers became when they were compressed, so that it is not done twice."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from pathlib import Path

from pydantic import BaseModel, TypeAdapter

_MOST = 2000


class Known(BaseModel):
    """The blob that a layer became, and a repository that has got it."""

    digest: str
    size: int
    repository: str


_entries = TypeAdapter(dict[str, Known])


class KnownLayers:
    """A file of blobs by `diff_id`. All of it may be lost: then layers are compressed again.

    Every method blocks.
    """

    def __init__(self, file: Path) -> None:
        self._file = file

    def read(self) -> dict[str, Known]:
        """Return all that is known."""
        try:
            return _entries.validate_json(self._file.read_bytes())
        except (OSError, ValueError):
            return {}

    def add(self, layers: dict[str, Known]) -> None:
        """Remember blobs, the newest ones if there are too many."""
        before = {key: value for key, value in self.read().items() if key not in layers}
        kept = dict(list({**before, **layers}.items())[-_MOST:])
        text = json.dumps({key: value.model_dump() for key, value in kept.items()})
        # A full disk is no reason to fail: what is kept here only saves time.
        with contextlib.suppress(OSError):
            handle, name = tempfile.mkstemp(dir=self._file.parent, prefix=".layers-")
            try:
                with os.fdopen(handle, "w") as file:
                    file.write(text)
                os.replace(name, self._file)
            except OSError:
                os.unlink(name)
                raise
