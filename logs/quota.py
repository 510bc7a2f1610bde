"""How much of a flood is kept."""

from __future__ import annotations

from collections import deque

from .records import LogRecord

RESERVE_BYTES = 1024 * 1024
"""Kept free beyond a log's limit for what the platform says and for the ends of floods."""

_TAIL_BYTES = 64 * 1024
_NOTICE_BYTES = 200


class Quota:
    """Admits the output of programs up to a limit and remembers the end of the rest.

    The last lines of a build that fails are the ones somebody wants to read: when the platform
    speaks or the log is closed, `overflow` gives out a notice and those lines.

    Args:
        max_bytes: how much program output the log may hold; None is no limit.
        used: how much it holds already.
    """

    def __init__(self, max_bytes: int | None, used: int) -> None:
        self._left = max_bytes - used if max_bytes is not None else None
        # A writer after a crash finds a part of the reserve used, too.
        self._reserve = RESERVE_BYTES + min(0, self._left or 0)
        self._limit = max_bytes or 0
        self._tail: deque[LogRecord] = deque()
        self._tail_bytes = 0
        self._dropped = 0

    def admits(self, record: LogRecord) -> bool:
        """Tell whether a line of a program is to be stored; if not, it is remembered."""
        if self._left is None:
            return True
        # Once over, a short line must not slip in between the dropped ones.
        if self._left >= record.size:
            self._left -= record.size
            return True
        self._left = 0
        self._tail.append(record)
        self._tail_bytes += record.size
        while self._tail_bytes > _TAIL_BYTES:
            self._tail_bytes -= self._tail.popleft().size
            self._dropped += 1
        return False

    def admits_notice(self, record: LogRecord) -> bool:
        """Tell whether a line of the platform is to be stored: it may use the reserve."""
        if self._left is None:
            return True
        if self._reserve < record.size:
            self._dropped += 1
            return False
        self._reserve -= record.size
        return True

    def overflow(self, *, final: bool = False) -> tuple[str, list[LogRecord]]:
        """Return what to say about the lines dropped since the last call, and their end.

        Both are empty if nothing was dropped, and when the reserve is used up, until the
        `final` call.
        """
        cost = self._tail_bytes + _NOTICE_BYTES
        nothing = not self._tail and not self._dropped
        if nothing or (not final and self._reserve < cost):
            return "", []
        self._reserve -= cost
        dropped, tail = self._dropped, list(self._tail)
        self._tail.clear()
        self._tail_bytes = self._dropped = 0
        if not dropped:
            return "", tail
        return f"… {_lines(dropped)} dropped: the log reached {_size(self._limit)}", tail


def _lines(count: int) -> str:
    return "1 line was" if count == 1 else f"{count} lines were"


def _size(count: int) -> str:
    mega = 1024 * 1024
    return f"{count // mega} MB" if count >= mega else f"{count // 1024} kB"
