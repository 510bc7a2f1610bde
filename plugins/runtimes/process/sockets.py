"""Which sockets belong to which processes, from /proc."""

from __future__ import annotations

import os
from collections.abc import Iterable

from helvetia.plugins.runtimes.common.tcp import ESTABLISHED, LISTEN, sockets


def listening_ports(pids: Iterable[int]) -> tuple[int, ...] | None:
    """Return the ports the processes listen on; None if it cannot be known."""
    own: set[str] = set()
    for pid in pids:
        try:
            for name in os.listdir(f"/proc/{pid}/fd"):
                own.add(_target(pid, name))
        except FileNotFoundError:
            continue  # it has just ended
        except OSError:
            return None
    listeners = (one for one in sockets() if one.state == LISTEN)
    return tuple(sorted({one.port for one in listeners if f"socket:[{one.inode}]" in own}))


def _target(pid: int, name: str) -> str:
    try:
        return os.readlink(f"/proc/{pid}/fd/{name}")
    except FileNotFoundError:
        return ""


def established(port: int) -> int:
    """Count connections to a local port; the other end on this machine is not one more."""
    return sum(one.port == port and one.state == ESTABLISHED for one in sockets())
