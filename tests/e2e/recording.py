"""Stand between the command line and the control plane, and write down what is asked."""

from __future__ import annotations

import contextlib
import re
import socket
import threading
from collections.abc import Iterator

_REQUEST = re.compile(rb"(GET|POST|PATCH|PUT|DELETE) (/[^\s?]*)\S* HTTP/1\.1\r\n")


class Recorder:
    """Hands on every byte to a port and remembers the requests as method and path."""

    def __init__(self, target: int) -> None:
        self._target = target
        self.requests: set[tuple[str, str]] = set()
        self.port = 0

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Take connections while the block runs."""
        with socket.create_server(("127.0.0.1", 0)) as listening:
            self.port = listening.getsockname()[1]
            threading.Thread(target=self._accept, args=[listening], daemon=True).start()
            yield
            listening.shutdown(socket.SHUT_RDWR)

    def _accept(self, listening: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = listening.accept()
                server = socket.create_connection(("127.0.0.1", self._target))
                for source, sink, asks in ((client, server, True), (server, client, False)):
                    arguments = [source, sink, asks]
                    threading.Thread(target=self._copy, args=arguments, daemon=True).start()

    def _copy(self, source: socket.socket, sink: socket.socket, asks: bool) -> None:
        with contextlib.suppress(OSError), source, sink:
            while data := source.recv(65536):
                if asks:
                    found = _REQUEST.findall(data)
                    self.requests |= {(method.decode(), path.decode()) for method, path in found}
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)
