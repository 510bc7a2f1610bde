"""Find and end the processes of a program whose supervisor is gone."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from helvetia.programs import OWNER_VARIABLE

from .groups import PREFIX
from .shim_tree import boot_id, remove_group, send, start_time, stat_fields

_KILL_SECONDS = 2.0


def shim_alive(state: Mapping[str, Any]) -> bool:
    """Tell whether the shim that wrote the state still runs."""
    pid = state.get("shim_pid")
    if pid is None or state.get("boot") != boot_id():
        return False
    started = start_time(pid)
    return started is not None and started == state.get("shim_start")


def leftovers(state: Mapping[str, Any]) -> list[int]:
    """Return the live processes a program has left, by its mark, its groups and its session."""
    if state.get("boot") != boot_id():
        return []
    mark = f"{OWNER_VARIABLE}={state['owner']}".encode()
    found = set(_members(state))
    session, started = state.get("session"), state.get("session_start")
    # No pid is given out again while it names a session. So if its first process is somebody
    # else, all of ours are gone; otherwise whoever is in that session is one of ours.
    if session is None or start_time(session) not in (None, started):
        session = None
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        pid = int(name)
        fields = stat_fields(pid)
        if fields is None or fields[0] in "ZX":
            continue
        if int(fields[3]) == session or mark in _environment(pid):
            found.add(pid)
    return sorted(found - {os.getpid(), state.get("shim_pid", 0)})


def _environment(pid: int) -> list[bytes]:
    try:
        return Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return []


def _groups(state: Mapping[str, Any]) -> list[Path]:
    return [Path(group) for group in state.get("groups", ()) if Path(group).name.startswith(PREFIX)]


def _members(state: Mapping[str, Any]) -> list[int]:
    pids: list[int] = []
    for group in _groups(state):
        if (group / "cgroup.procs").exists():
            pids.extend(map(int, (group / "cgroup.procs").read_text().split()))
    return pids


def sweep(state: Mapping[str, Any]) -> None:
    """Kill what a dead shim has left and remove its control groups."""
    deadline = time.monotonic() + _KILL_SECONDS
    while time.monotonic() < deadline and (pids := leftovers(state)):
        for pid in pids:
            send(pid, signal.SIGKILL)
        time.sleep(0.01)
    for group in _groups(state):
        remove_group(str(group))


def signal_shim(state: Mapping[str, Any], number: int) -> bool:
    """Send a signal to the shim and to nobody who may have its pid by now."""
    try:
        handle = os.pidfd_open(state["shim_pid"])
    except OSError:
        return False
    try:
        if not shim_alive(state):
            return False
        signal.pidfd_send_signal(handle, number)
    except OSError:
        return False
    finally:
        os.close(handle)
    return True
