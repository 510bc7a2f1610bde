"""Named places at which a test has this process killed, to see what comes of it.

`HELVETIA_FAILPOINT` names the place; `@` and a path stand for a file that holds the name, so
that it can be chosen while the platform runs. Unless the variable is set, a failpoint is one
comparison.
"""

from __future__ import annotations

import contextlib
import os
import signal
from pathlib import Path

_VARIABLE = os.environ.get("HELVETIA_FAILPOINT", "")


def failpoint(name: str) -> None:
    """Die at once, by SIGKILL, if this is the chosen place."""
    if _VARIABLE and name == _chosen():
        os.kill(os.getpid(), signal.SIGKILL)


def _chosen() -> str:
    if not _VARIABLE.startswith("@"):
        return _VARIABLE
    with contextlib.suppress(FileNotFoundError):
        return Path(_VARIABLE[1:]).read_text().strip()
    return ""
