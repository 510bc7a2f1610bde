"""How far a transfer is, in words that a person can follow."""

from __future__ import annotations

from helvetia import LogSink

_STEP = 16_000_000
_LINES = 20


class Progress:
    """Tells of a transfer now and then: every 16 MB, and at most twenty times.

    Args:
        what: `layer 2 of 5`.
        total: in bytes.
    """

    def __init__(self, log: LogSink, what: str, total: int) -> None:
        self._log, self._what, self._total = log, what, total
        self._step = max(_STEP, total // _LINES)
        self._told = 0

    def at(self, done: int) -> None:
        """Tell if there is something new to tell; `done` may fall back when work is repeated."""
        if done < self._told:
            self._told = done
        if done < self._total and done - self._told >= self._step:
            self._told = done
            self._log.line(f"{self._what}: {done // 10**6} of {megabytes(self._total)}")

    def end(self) -> None:
        """Tell that it is done."""
        self._log.line(f"{self._what}: {megabytes(self._total)} done")


def megabytes(count: int) -> str:
    """Write a number of bytes: `120 MB`, `0.4 MB`, `3 kB`, `80 bytes`."""
    if count < 1000:
        return f"{count} bytes"
    if count < 10**5:
        return f"{count / 1e3:.0f} kB"
    return f"{count / 1e6:.0f} MB" if count >= 10**7 else f"{count / 1e6:.1f} MB"
