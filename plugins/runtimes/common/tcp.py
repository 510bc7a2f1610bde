"""The TCP sockets of a network namespace, from /proc."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ESTABLISHED, LISTEN = "01", "0A"
_LOOPBACK = re.compile(r"(?:0{16}FFFF0000)?[0-9A-F]{6}7F|0{24}01000000")


class Socket(NamedTuple):
    """A row of the table."""

    address: str
    port: int
    state: str
    inode: str

    @property
    def inside_only(self) -> bool:
        """Whether nobody outside the namespace reaches it."""
        return _LOOPBACK.fullmatch(self.address) is not None


def sockets(of: str = "self") -> Iterator[Socket]:
    """Yield the sockets that the process with the id `of` sees.

    Raises:
        FileNotFoundError: there is no such process.
    """
    for table in (f"/proc/{of}/net/tcp", f"/proc/{of}/net/tcp6"):
        try:
            lines = Path(table).read_text().splitlines()[1:]
        except FileNotFoundError:
            if table.endswith("6"):
                continue  # a kernel without IPv6
            raise
        for line in lines:
            fields = line.split()
            address, _, port = fields[1].rpartition(":")
            yield Socket(address, int(port, 16), fields[3], fields[9])
