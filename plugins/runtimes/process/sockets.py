"""Which sockets belong to which processes, from /proc."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

_ESTABLISHED, _LISTEN = "01", "0A"
_TABLES = ("/proc/net/tcp", "/proc/net/tcp6")


def _rows() -> Iterator[tuple[int, str, str]]:
    """Yield local port, state and inode of every TCP socket."""
    for table in _TABLES:
        try:
            lines = Path(table).read_text().splitlines()[1:]
        except FileNotFoundError:
            continue  # a kernel without IPv6
        for line in lines:
            fields = line.split()
            yield int(fields[1].rpartition(":")[2], 16), fields[3], fields[9]


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
    rows = _rows()
    return tuple(
        sorted(
            {port for port, state, inode in rows if state == _LISTEN and f"socket:[{inode}]" in own}
        )
    )


def _target(pid: int, name: str) -> str:
    try:
        return os.readlink(f"/proc/{pid}/fd/{name}")
    except FileNotFoundError:
        return ""


def established(port: int) -> int:
    """Count connections to a local port; the other end on this machine is not one more."""
    return sum(1 for local, state, _ in _rows() if local == port and state == _ESTABLISHED)
