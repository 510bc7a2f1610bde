"""Control groups, where the machine lets the platform make some."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

LIMITS = ("memory", "pids", "cpu")
PREFIX = "helvetia-"
_DELEGATED = ("user.delegate", "trusted.delegate")


@dataclass(frozen=True, slots=True)
class Base:
    """A folder of a control-group file system below which a limit can be set."""

    version: str
    folder: Path


def usable_groups() -> dict[str, Base]:
    """Return where each limit can be set; changes nothing.

    A group that somebody else made for the platform's own process (a service manager, a
    container engine, a session) is left alone unless it is delegated: making groups in it
    would take processes out of the view of its owner.
    """
    own = dict(_own_groups())
    found: dict[str, Base] = {}
    for kind, mount, options in _mounts():
        for name in LIMITS:
            if kind == "cgroup" and name in options and name in own:
                base = mount / own[name].lstrip("/")
                if _is_ours(base, own[name]):
                    found[name] = Base("v1", base)
            elif kind == "cgroup2" and name not in found and "" in own:
                path = mount / own[""].lstrip("/")
                # The parent: service managers put a delegate's own processes one level down.
                for base in (path, path.parent):
                    at = "/" if base == mount else str(base)
                    if _is_ours(base, at) and name in _words(base / "cgroup.subtree_control"):
                        found[name] = Base("v2", base)
                        break
    return found


def _own_groups() -> list[tuple[str, str]]:
    pairs: list[tuple[str, str]] = []
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, names, path = line.split(":", 2)
        pairs.extend((name, path) for name in names.split(","))
    return pairs


def _mounts() -> list[tuple[str, Path, list[str]]]:
    rows = [line.split() for line in Path("/proc/self/mounts").read_text().splitlines()]
    return [(r[2], Path(r[1]), r[3].split(",")) for r in rows if r[2] in ("cgroup", "cgroup2")]


def _is_ours(base: Path, path: str) -> bool:
    if not os.access(base, os.W_OK):
        return False
    return path == "/" or any(_attribute(base, name) == b"1" for name in _DELEGATED)


def _attribute(base: Path, name: str) -> bytes:
    try:
        return os.getxattr(base, name)
    except OSError:
        return b""


def _words(path: Path) -> list[str]:
    try:
        return path.read_text().split()
    except OSError:
        return []


def prepare(folder: Path, limits: Mapping[str, float]) -> tuple[dict[str, str], list[str]]:
    """Make the groups for the program of a folder.

    Returns what enforces each limit, and the groups to put the program into.
    """
    name = PREFIX + sha256(str(folder).encode()).hexdigest()[:16]
    mechanism: dict[str, str] = {}
    groups: set[str] = set()
    bases = usable_groups() if any(limits.values()) else {}
    for limit, value in limits.items():
        if not value:
            mechanism[limit] = "no limit"
            continue
        mechanism[limit] = "not enforced" if limit == "cpu" else "watchdog"
        if base := bases.get(limit):
            group = base.folder / name
            try:
                group.mkdir(exist_ok=True)
                groups.add(str(group))
                _set(group, base.version, limit, value)
                mechanism[limit] = f"cgroup {base.version}"
            except OSError:
                continue
    return mechanism, sorted(groups)


def _set(group: Path, version: str, limit: str, value: float) -> None:
    quota, size = max(1000, int(value * 100_000)), int(value) * 2**20
    values: dict[tuple[str, str], list[tuple[str, str]]] = {
        ("v1", "pids"): [("pids.max", str(int(value)))],
        ("v2", "pids"): [("pids.max", str(int(value)))],
        ("v1", "cpu"): [("cpu.cfs_period_us", "100000"), ("cpu.cfs_quota_us", str(quota))],
        ("v2", "cpu"): [("cpu.max", f"{quota} 100000")],
        ("v1", "memory"): [("memory.limit_in_bytes", str(size))],
        ("v2", "memory"): [("memory.oom.group", "1"), ("memory.max", str(size))],
    }
    for file, text in values[version, limit]:
        (group / file).write_text(text)
    # Without this, memory beyond the limit would only move to swap, where there is any.
    swap, size = (
        ("memory.swap.max", 0) if version == "v2" else ("memory.memsw.limit_in_bytes", size)
    )
    if limit == "memory" and (group / swap).exists():
        (group / swap).write_text(str(size))
