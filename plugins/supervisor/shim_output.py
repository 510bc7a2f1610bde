"""What a program writes, as kept by its shim: bounded on disk and in memory.

Standard library only.
"""

from __future__ import annotations

import importlib
import os
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Protocol

    class Mask(Protocol):
        """Hides secrets in a stream; see `helvetia.masking`."""

        def feed(self, data: bytes, /) -> bytes:
            """Take bytes and return what can be kept by now."""

        def flush(self) -> bytes:
            """Return what was held back."""


LINE_BYTES = 64 * 1024
READ_BYTES = 64 * 1024


class Log:
    """Two files, `log.<n>` and `log.<n+1>`, of half the cap each; the older one goes first.

    A file begins with `# <number of its first line>`, so that readers can tell what was lost.
    """

    def __init__(self, folder: str, cap: int) -> None:
        self._folder = folder
        self._half = max(cap // 2, 2 * LINE_BYTES)
        numbers = [int(name[4:]) for name in os.listdir(folder) if name.startswith("log.")]
        self._lines = 0
        self._open(max(numbers, default=0))

    def _open(self, number: int) -> None:
        self._number = number
        path = f"{self._folder}/log.{number}"
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        self._size = os.fstat(self._fd).st_size
        data = os.pread(self._fd, self._size, 0)
        if data.startswith(b"# "):
            self._lines = int(data[2 : data.find(b"\n")]) + data.count(b"\n") - 1
        if not data:
            self._put(b"# %d\n" % self._lines)
        elif not data.endswith(b"\n"):  # an earlier shim was killed in the middle of a line
            self._put(b"\n")
            self._lines += 1

    def _put(self, data: bytes) -> None:
        self._size += len(data)
        try:
            os.write(self._fd, data)
        except OSError:
            return  # a full disk costs lines, never the program

    def write(self, kind: bytes, texts: list[bytes]) -> None:
        """Append lines."""
        stamp = b"%.3f %s " % (time.time(), kind)
        pending: list[bytes] = []
        size = self._size
        for text in texts:
            line = stamp + text + b"\n"
            if size + len(line) > self._half:
                self._put(b"".join(pending))
                pending.clear()
                self._rotate()
                size = self._size
            pending.append(line)
            size += len(line)
            self._lines += 1
        self._put(b"".join(pending))

    def _rotate(self) -> None:
        os.close(self._fd)
        older = f"{self._folder}/log.{self._number - 1}"
        if os.path.exists(older):
            os.unlink(older)
        self._open(self._number + 1)


def masks(secrets: Iterable[str]) -> Callable[[], Mask] | None:
    """Return what makes a mask for each stream; None if there is nothing to hide."""
    if not secrets:
        return None
    # At the end, as in `shim`: no folder of ours may hide a module of the standard library.
    here = os.path.dirname(os.path.abspath(__file__))
    sys.path.append(os.path.join(here, "..", ".."))
    redactor = importlib.import_module("masking").Redactor(secrets)
    make: Callable[[], Mask] = redactor.stream
    return make if redactor else None


class Stream:
    """One pipe of the program, masked and cut into lines of bounded length."""

    def __init__(self, fd: int, kind: bytes, log: Log, mask: Mask | None = None) -> None:
        self.fd = fd
        self._mask = mask
        self._kind = kind
        self._log = log
        self._rest = b""

    def read(self) -> int:
        """Take what is there; return how many bytes, 0 at the end or if nothing waits."""
        try:
            data = os.read(self.fd, READ_BYTES)
        except OSError:
            return 0
        self._keep(self._mask.feed(data) if self._mask else data)
        return len(data)

    def _keep(self, data: bytes) -> None:
        lines = (self._rest + data).split(b"\n")
        self._rest = lines.pop()
        texts = [piece for line in lines for piece in cut(line.removesuffix(b"\r"))]
        if len(self._rest) > LINE_BYTES:
            *more, self._rest = cut(self._rest)
            texts.extend(more)
        self._log.write(self._kind, texts)

    def close(self) -> None:
        """Take the rest without waiting for those who may still hold the other end."""
        for _ in range(64):
            if not self.read():
                break
        if self._mask:
            self._keep(self._mask.flush())
        if self._rest:
            self._log.write(self._kind, [self._rest])
        os.close(self.fd)


def cut(text: bytes) -> list[bytes]:
    """Cut a line into pieces of bounded length, not inside a UTF-8 character if it can be."""
    pieces = []
    while len(text) > LINE_BYTES:
        end = LINE_BYTES
        while end > LINE_BYTES - 4 and text[end] & 0xC0 == 0x80:
            end -= 1
        pieces.append(text[:end])
        text = text[end:]
    return [*pieces, text]
