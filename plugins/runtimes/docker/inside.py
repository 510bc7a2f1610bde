"""What this machine's /proc says about a container of an engine on this machine."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

from helvetia.plugins.runtimes.common.tcp import ESTABLISHED, LISTEN, Socket, sockets


def established(container: dict[str, Any], port: int) -> int | None:
    """Count the connections to a port of the container; None if it cannot be known."""
    found = _sockets(container)
    if found is None:
        return None
    return sum(one.port == port and one.state == ESTABLISHED for one in found)


def listening_ports(container: dict[str, Any]) -> tuple[int, ...] | None:
    """Return the ports of the container that can be reached; None if it cannot be known."""
    found = _sockets(container)
    if found is None:
        return None
    return tuple(sorted({one.port for one in found if one.state == LISTEN and not one.inside_only}))


def minds_stopping(container: dict[str, Any]) -> bool:
    """Say whether the stop signal means anything to the program.

    As the first process of its namespace it is spared what ends every other program: a signal
    that it neither handles nor ignores. Nobody has to wait for that.
    """
    pid = _pid(container)
    if pid is None:
        return True
    name = container["Config"].get("StopSignal") or "SIGTERM"
    try:
        number = int(name) if name.isdecimal() else signal.Signals[name]
        status = Path(f"/proc/{pid}/status").read_text().splitlines()
    except (OSError, KeyError):
        return True
    masks = [line.split()[1] for line in status if line.startswith(("SigCgt:", "SigIgn:"))]
    return any(int(mask, 16) >> (number - 1) & 1 for mask in masks)


def _sockets(container: dict[str, Any]) -> list[Socket] | None:
    pid = _pid(container)
    if pid is None:
        return None
    try:
        return list(sockets(pid))
    except OSError:
        return None


def _pid(container: dict[str, Any]) -> str | None:
    """Return the first process, if it is seen here and really that of the container."""
    pid = str(container["State"]["Pid"])
    try:
        groups = Path(f"/proc/{pid}/cgroup").read_text()
    except OSError:
        return None
    return pid if container["Id"] in groups else None
