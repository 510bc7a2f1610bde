"""Disks that are full, in words."""

from __future__ import annotations

import errno
from pathlib import Path

from helvetia import BuildFailed

_FULL = (errno.ENOSPC, errno.EDQUOT)


def cannot_keep(error: OSError, folder: Path) -> BuildFailed:
    """Say why an artifact cannot be kept in, or on its way through, a folder of this machine."""
    if error.errno in _FULL:
        return BuildFailed(
            "there is no space left to keep the artifact",
            hint=f"free some space on the disk that holds {folder}, then deploy again",
        )
    return BuildFailed(f"the artifact cannot be kept: {error}")
