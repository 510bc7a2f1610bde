"""A real Redis in a temporary folder, which tests stop, kill, freeze and empty."""

from __future__ import annotations

import contextlib
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from helvetia.testing.kernel import free_port


class RedisServer:
    """Redis on a port that stays the same through restarts; it keeps nothing on disk."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.port = free_port()
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        program = shutil.which("redis-server", path="/usr/bin:/usr/sbin:/usr/local/bin")
        assert program, "Redis is not installed; `make test` installs it"
        options = ["--port", str(self.port), "--bind", "127.0.0.1", "--save", ""]
        with (self._folder / "redis.log").open("ab") as log:
            self.process = subprocess.Popen(
                [program, *options, "--appendonly", "no", "--dir", str(self._folder)],
                stdout=log,
                stderr=log,
            )
        deadline = time.monotonic() + 20
        while self.ask("PING") != "+PONG":
            assert time.monotonic() < deadline, "Redis does not start"
            time.sleep(0.02)

    def stop(self, number: signal.Signals = signal.SIGKILL) -> None:
        if self.process is not None:
            self.process.send_signal(number)
            self.process.wait(20)
            self.process = None

    def restart(self) -> None:
        """Kill it and start it without its data."""
        self.stop()
        self.start()

    @contextlib.contextmanager
    def frozen(self) -> Iterator[None]:
        """Let it accept connections and answer nothing."""
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.process.send_signal(signal.SIGCONT)

    def ask(self, *words: str) -> str:
        """Send a command and return the first line of the answer; "" if nobody answers."""
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=5) as connection:
                connection.sendall(f"{' '.join(words)}\r\n".encode())
                return connection.makefile().readline().strip()
        except OSError:
            return ""


@contextlib.contextmanager
def running_redis() -> Iterator[RedisServer]:
    """Run a Redis of its own while the block runs."""
    folder = Path(tempfile.mkdtemp(prefix="helvetia-redis-"))
    server = RedisServer(folder)
    try:
        server.start()
        yield server
    finally:
        if server.process is not None:
            server.process.send_signal(signal.SIGCONT)
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)
