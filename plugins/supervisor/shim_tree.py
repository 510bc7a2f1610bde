"""The processes of a program, as seen and ended by its shim. Standard library only."""

from __future__ import annotations

import os
import signal
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

PAGE = os.sysconf("SC_PAGE_SIZE")


def boot_id() -> str:
    """Return what tells this run of the machine from all others: pids mean nothing beyond it."""
    with open("/proc/sys/kernel/random/boot_id") as file:
        return file.read().strip()


def stat_fields(pid: int) -> list[str] | None:
    """Return the fields of /proc/PID/stat behind the name (state is the first), None if gone."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return file.read().rpartition(b")")[2].decode().split()
    except OSError:
        return None


def start_time(pid: int) -> int | None:
    """Return when the process started, in ticks since boot; None if it is gone or a zombie."""
    fields = stat_fields(pid)
    return None if fields is None or fields[0] in "ZX" else int(fields[19])


def descendants(root: int) -> list[int]:
    """Return the live processes below `root`. Complete for a shim: it adopts all orphans."""
    children: dict[int, list[int]] = {}
    for name in os.listdir("/proc"):
        if name.isdigit() and (fields := stat_fields(int(name))) and fields[0] not in "ZX":
            children.setdefault(int(fields[1]), []).append(int(name))
    found = list(children.get(root, ()))
    for pid in found:
        found.extend(children.get(pid, ()))
    return found


def family(root: int) -> list[int]:
    """Return the same without reading the whole of /proc; it may miss one being born."""
    if not os.path.exists(f"/proc/{root}/task/{root}/children"):
        return descendants(root)
    found = [root]
    for pid in found:
        try:
            for task in os.listdir(f"/proc/{pid}/task"):
                with open(f"/proc/{pid}/task/{task}/children", "rb") as file:
                    found.extend(map(int, file.read().split()))
        except OSError:
            continue
    return found[1:]


def send(pid: int, number: int) -> bool:
    """Send a signal; return whether there was somebody to get it."""
    try:
        os.kill(pid, number)
    except OSError:
        return False
    return True


def resident(pid: int) -> int:
    """Return the resident bytes of a process, shared pages counted in full."""
    try:
        with open(f"/proc/{pid}/statm", "rb") as file:
            return int(file.read().split()[1]) * PAGE
    except (OSError, IndexError):
        return 0


def proportional(pid: int) -> int:
    """Return the resident bytes with shared pages divided among those who share them."""
    try:
        with open(f"/proc/{pid}/smaps_rollup", "rb") as file:
            return sum(int(line.split()[1]) * 1024 for line in file if line.startswith(b"Pss:"))
    except OSError:
        return resident(pid)


class Tree:
    """Everything the shim has started, directly or not: as a subreaper it adopts all orphans."""

    def __init__(self, spec: dict[str, Any]) -> None:
        self._limits: dict[str, float] = spec["limits"]
        self._mechanism: dict[str, str] = spec["mechanism"]
        self._groups: list[str] = spec["groups"]
        self.watched = "watchdog" in self._mechanism.values()
        self.child = 0
        self.ended: int | None = None  # the wait status of the child

    def join_groups(self) -> None:
        """Put the calling process into the control groups."""
        for folder in self._groups:
            with open(f"{folder}/cgroup.procs", "w") as file:
                file.write("0")

    def reap(self) -> bool:
        """Collect what has ended; return whether nothing at all is left."""
        try:
            while True:
                pid, status = os.waitpid(-1, os.WNOHANG)
                if pid == 0:
                    return False
                if pid == self.child:
                    self.ended = status
        except ChildProcessError:
            return True

    def kill(self, seconds: float = 2.0) -> None:
        """Kill all of it; what a dying process leaves comes to the shim and is killed next."""
        deadline = time.monotonic() + seconds
        while not self.reap() and time.monotonic() < deadline:
            for pid in descendants(os.getpid()):
                send(pid, signal.SIGKILL)
            time.sleep(0.005)

    def group_lives(self) -> bool:
        """Tell whether a process of the child's own group is left."""
        found = map(stat_fields, descendants(os.getpid()))
        return any(fields and int(fields[2]) == self.child for fields in found)

    def oom_kills(self) -> int:
        """Return how often the kernel has killed in the tree for its memory limit."""
        for folder in self._groups:
            for name in ("memory.events", "memory.oom_control"):
                if os.path.exists(f"{folder}/{name}"):
                    with open(f"{folder}/{name}") as file:
                        return int(dict(line.split() for line in file).get("oom_kill", 0))
        return 0

    def exceeded(self) -> str:
        """Return in words which limit the watchdog finds broken, else ""."""
        pids = family(os.getpid())
        memory, threads = self._limits["memory"], self._limits["pids"]
        if self._mechanism["memory"] == "watchdog":
            cap = memory * 2**20
            # The cheap sum counts shared pages several times; ask exactly only when it matters.
            if sum(map(resident, pids)) > cap and sum(map(proportional, pids)) > cap:
                return self.memory_words()
        if self._mechanism["pids"] != "watchdog":
            return ""
        count = sum(int(fields[17]) for fields in map(stat_fields, pids) if fields)
        return f"process limit {threads:g} reached" if count > threads else ""

    def memory_words(self) -> str:
        """Say that the memory limit was reached."""
        return f"memory limit {self._limits['memory']:g} MB reached"

    def remove_groups(self) -> None:
        """Remove the control groups; the kernel needs a moment after the last process."""
        for folder in self._groups:
            remove_group(folder)


def remove_group(folder: str) -> None:
    """Remove a control group whose processes have been killed."""
    for _ in range(100):
        try:
            return os.rmdir(folder)
        except FileNotFoundError:
            return None
        except OSError:
            time.sleep(0.01)
    return None
