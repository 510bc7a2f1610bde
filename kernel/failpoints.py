"""Named places at which a test has this process killed, to see what comes of it.

`HELVETIA_FAILPOINT` names a place, or several with blanks between them; `@` and a path stand for
a file that holds the names, so that they can be chosen while the platform runs. The first task
that comes to a named place goes no further; at the last of the places the process dies by
SIGKILL, and all that stand still with it. Unless the variable is set, a failpoint is one
comparison.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from pathlib import Path

_VARIABLE = os.environ.get("HELVETIA_FAILPOINT", "")
_reached: set[str] = set()


async def failpoint(name: str) -> None:
    """Stand still for ever if this is a chosen place; die at once if it is the last of them."""
    if _VARIABLE and name in (chosen := _chosen()) and name not in _reached:
        _reached.add(name)
        if _reached >= chosen:
            os.kill(os.getpid(), signal.SIGKILL)
        await asyncio.Event().wait()


def _chosen() -> set[str]:
    if not _VARIABLE.startswith("@"):
        return set(_VARIABLE.split())
    with contextlib.suppress(FileNotFoundError):
        return set(Path(_VARIABLE[1:]).read_text().split())
    return set()
