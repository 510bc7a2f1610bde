"""What the processes of an instance use; asked every few seconds for each of many instances."""

from __future__ import annotations

import os
from pathlib import Path

from helvetia import Stats
from helvetia.plugins.supervisor import Supervised

_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


def measure(supervised: Supervised) -> Stats:
    """Add up what the processes of a tree use."""
    pids, restarts = supervised.family()
    ticks = memory = count = 0
    for pid in pids:
        try:
            stat = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
            memory += int(Path(f"/proc/{pid}/statm").read_bytes().split()[1]) * _PAGE
        except (OSError, IndexError):
            continue
        # Of itself and of the children that are gone, both in user and system mode.
        ticks += sum(map(int, stat[11:15]))
        count += 1
    return Stats(
        cpu_seconds=ticks / _TICKS, memory_bytes=memory, processes=count, restarts=restarts
    )
