"""Join chunks of a program's output to lines of text."""

from __future__ import annotations

import codecs
import time
from collections.abc import Callable

MAX_LINE = 16 * 1024
"""Longer lines are cut into pieces of so many characters."""

CONTINUED = " […]"
"""Stands at the end of every piece of a long line but the last."""

_PROGRESS_SECONDS = 5.0


class LineJoiner:
    """Joins one stream to lines; never holds more than one line's worth.

    Wrong UTF-8 and NUL become U+FFFD, `\\r\\n` is a newline. A line that is written over and over
    with `\\r` (a progress bar) becomes its last state; while it lasts, its state is given out
    every few seconds. ANSI sequences stay: the viewer decides.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._rest = ""
        self._shown = ""
        self._shown_at = 0.0

    def feed(self, data: bytes) -> list[str]:
        """Take the next bytes and return the lines that are complete by now."""
        return self._take(self._decoder.decode(data))

    def flush(self) -> list[str]:
        """Return what is left as if a newline had come."""
        lines = self._take(self._decoder.decode(b"", final=True))
        rest, self._rest = last_state(self._rest), ""
        if rest and rest != self._shown:
            lines.append(rest)
        self._shown = ""
        return lines

    def _take(self, text: str) -> list[str]:
        if not text:
            return []
        *complete, rest = (self._rest + text.replace("\0", "\ufffd")).split("\n")
        lines: list[str] = []
        for line in complete:
            state = last_state(line) if "\r" in line else line
            if not state or state != self._shown:
                lines += pieces(state)
            self._shown = ""
        self._rest = self._progress(rest, lines) if "\r" in rest else rest
        while len(self._rest) > MAX_LINE:
            lines.append(self._rest[:MAX_LINE].lstrip("\r") + CONTINUED)
            self._rest = self._rest[MAX_LINE:]
        return lines

    def _progress(self, rest: str, lines: list[str]) -> str:
        """Reduce a line that is being written over to its last state; give it out when due."""
        state = last_state(rest)
        now = self._clock()
        if not self._shown:
            self._shown, self._shown_at = "\r", now
        elif state != self._shown and now - self._shown_at >= _PROGRESS_SECONDS:
            lines += pieces(state)
            self._shown, self._shown_at = state, now
        # Whether a newline or the next state follows is not known yet.
        return state + "\r" if rest.endswith("\r") else "\r" + state


def last_state(line: str) -> str:
    """Return what a terminal shows of a line in the end: what follows the last `\\r`."""
    return line.rstrip("\r").rpartition("\r")[2]


def pieces(line: str) -> list[str]:
    """Cut a long line into pieces that say that they go on."""
    if len(line) <= MAX_LINE:
        return [line]
    cut = [line[at : at + MAX_LINE] for at in range(0, len(line), MAX_LINE)]
    return [piece + CONTINUED for piece in cut[:-1]] + cut[-1:]


def clean_lines(text: str) -> list[str]:
    """Return a complete text as lines fit to be kept; at least one."""
    joiner = LineJoiner()
    lines = joiner.feed(text.encode("utf-8", "replace"))
    return (lines + joiner.flush()) or [""]
