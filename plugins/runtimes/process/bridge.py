"""Runs a program at a pseudo-terminal, and carries what is typed and shown over a socket.

Started by the supervisor as `python -I -S bridge.py SOCKET COLUMNS ROWS PROGRAM [ARGUMENT ...]`, in
the place of the program and with its environment; standard library only. When the other end of the
socket is gone, so is the program. Its exit code, or the signal that killed it, becomes ours.

What comes over the socket is frames: a letter, two bytes of length, and `I`nput or the `S`ize.
"""

from __future__ import annotations

import errno
import fcntl
import os
import pty
import select
import signal
import socket
import struct
import sys
import termios

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

CHUNK = 16 * 1024
HELD_BYTES = 64 * 1024
HEADER = struct.Struct(">cH")
SIZE = struct.Struct(">HH")


class Bridge:
    """The terminal of one program, and the socket to whoever looks at it."""

    def __init__(self, connection: socket.socket, terminal: int, child: int) -> None:
        self.connection = connection
        self.terminal = terminal
        self.child = child
        self.status: int | None = None
        self.frames = b""
        self.typed = b""
        self.shown = b""
        self.is_watched = True

    def run(self) -> None:
        """Carry on until the program has ended or nobody looks any more."""
        wakeup, woken = os.pipe()
        for descriptor in (wakeup, woken, self.terminal, self.connection.fileno()):
            os.set_blocking(descriptor, False)
        signal.set_wakeup_fd(woken, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        while self.status is None and self.is_watched:
            self.reap()
            self.turn(wakeup)
        if self.status is not None:
            self.last_words()

    def reap(self) -> None:
        """Look whether the program has ended."""
        pid, status = os.waitpid(self.child, os.WNOHANG)
        if pid:
            self.status = status

    def turn(self, wakeup: int) -> None:
        """Wait until there is something to carry, and carry it."""
        reads = [wakeup]
        if len(self.shown) < HELD_BYTES:
            reads.append(self.terminal)
        if len(self.typed) < HELD_BYTES:
            reads.append(self.connection.fileno())
        writes = [self.terminal] if self.typed else []
        writes += [self.connection.fileno()] if self.shown else []
        timeout = 0 if self.status is not None else None
        ready, writable, _ = select.select(reads, writes, [], timeout)
        if wakeup in ready:
            os.read(wakeup, 4096)
        if self.terminal in ready:
            self.show()
        if self.connection.fileno() in ready:
            self.hear()
        if self.terminal in writable:
            self.type()
        if self.shown and self.is_watched:
            self.send()

    def show(self) -> bool:
        """Take what the program wrote; return whether there was something."""
        try:
            data = os.read(self.terminal, CHUNK)
        except BlockingIOError:
            return False
        except OSError as error:
            if error.errno != errno.EIO:  # nobody has the terminal open any more
                raise
            return False
        self.shown += data
        return bool(data)

    def hear(self) -> None:
        """Take what came over the socket."""
        try:
            data = self.connection.recv(CHUNK)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        self.is_watched = bool(data)
        self.frames += data
        while len(self.frames) >= HEADER.size:
            kind, length = HEADER.unpack_from(self.frames)
            end = HEADER.size + length
            if len(self.frames) < end:
                return
            body, self.frames = self.frames[HEADER.size : end], self.frames[end:]
            if kind == b"I":
                self.typed += body
            else:
                set_size(self.terminal, *SIZE.unpack(body))

    def type(self) -> None:
        """Give the program what was typed."""
        try:
            self.typed = self.typed[os.write(self.terminal, self.typed) :]
        except BlockingIOError:
            return
        except OSError:
            self.typed = b""

    def send(self) -> None:
        """Send what was shown."""
        try:
            self.shown = self.shown[self.connection.send(self.shown) :]
        except BlockingIOError:
            return
        except OSError:
            self.is_watched = False

    def last_words(self) -> None:
        """Send what the program wrote before it ended."""
        self.connection.setblocking(True)
        self.connection.settimeout(5)
        try:
            while self.show():
                self.connection.sendall(self.shown)
                self.shown = b""
            self.connection.sendall(self.shown)
        except OSError:
            return


def set_size(terminal: int, columns: int, rows: int) -> None:
    """Make the terminal so large; its program is told by a signal."""
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))


def become(argv: list[str]) -> NoReturn:
    """Turn the forked process into the program."""
    try:
        for number in (signal.SIGPIPE, signal.SIGXFSZ):
            signal.signal(number, signal.SIG_DFL)
        os.execvp(argv[0], argv)  # noqa: S606 - wanted
    except OSError as error:
        os.write(2, f"{argv[0]}: {error.strerror}\r\n".encode())
    finally:
        os._exit(127)


def end(status: int | None) -> NoReturn:
    """End as the program has ended."""
    code = 0 if status is None else os.waitstatus_to_exitcode(status)
    if code < 0:
        if -code != signal.SIGKILL:
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    os._exit(code)


def main() -> NoReturn:
    """Connect, start the program, and stay between the two."""
    path, columns, rows, *argv = sys.argv[1:]
    folder = os.open(os.path.dirname(path), os.O_PATH | os.O_DIRECTORY)
    connection = socket.socket(socket.AF_UNIX)
    # The path itself may be longer than the address of a socket.
    connection.connect(f"/proc/self/fd/{folder}/{os.path.basename(path)}")
    os.close(folder)
    ready, go = os.pipe()
    child, terminal = pty.fork()
    if child == 0:
        os.close(go)
        os.read(ready, 1)  # until the terminal has its size
        os.close(ready)
        become(argv)
    os.close(ready)
    set_size(terminal, int(columns), int(rows))
    os.close(go)
    bridge = Bridge(connection, terminal, child)
    bridge.run()
    if bridge.status is None:
        os.close(terminal)  # which tells the program by SIGHUP; the supervisor ends the rest
    end(bridge.status)


if __name__ == "__main__":
    main()
