"""The program that runtimes run in their suite; it needs nothing but Python.

It and the child it starts hold one connection to the suite, the lifeline: that ends when the last
process of the tree is gone, wherever the runtime runs it, and they end when the suite does.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

LINES = 1000


class Answer(BaseHTTPRequestHandler):
    """Answers with what the process is."""

    def do_GET(self) -> None:
        """Say who answers, and with which variables."""
        body = json.dumps({"pid": os.getpid(), "boot": BOOT, "environment": dict(os.environ)})
        self.send_response(200)
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, format: str, *arguments: object) -> None:
        """Say nothing: the suite counts lines."""


def hold_lifeline() -> None:
    """Connect to the suite, let a child hold the connection as well, and end with the suite."""
    host, _, port = os.environ["LIFELINE"].rpartition(":")
    line = socket.create_connection((host, int(port)))
    number = line.fileno()
    child = [sys.executable, "-c", f"import socket; socket.socket(fileno={number}).recv(1)"]
    subprocess.Popen(child, pass_fds=[number], start_new_session=True)
    threading.Thread(target=lambda: (line.recv(1), os._exit(9)), daemon=True).start()


def end(*_: object) -> None:
    """Take a moment to end, as programs do: the grace is for that."""
    time.sleep(0.3)
    print("ended by itself", flush=True)
    os._exit(0)


def serve() -> None:
    """Take requests until a signal ends it."""
    address = os.environ.get("HOST", "0.0.0.0"), int(os.environ["PORT"])
    ThreadingHTTPServer(address, Answer).serve_forever()


def main(role: str) -> None:
    """Play one of the roles that the processes of the sample artifact have."""
    if role == "crash":
        sys.exit(7)
    if role == "fail":
        print("it says why", flush=True)
        sys.exit(3)
    if role == "scribble":
        with open("scribbled", "w") as file:
            file.write("mine")
        sys.exit(0)
    if role == "stubborn":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    else:
        signal.signal(signal.SIGTERM, end)
    hold_lifeline()
    if role == "chatty":
        for number in range(LINES):
            print(f"line {number}", file=(sys.stdout, sys.stderr)[number % 2], flush=True)
    if role == "hang":
        threading.Event().wait()
    serve()


BOOT = f"{time.time()}-{os.getpid()}"
if __name__ == "__main__":
    main(sys.argv[1])
