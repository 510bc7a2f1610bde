"""Applications whose behaviour a test chooses: plain Python, nothing to install."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from .harness import Repository

_SERVER = '''
"""A web server; the file `behaviour` beside it says how it misbehaves."""
import http.server
import os
import pathlib
import signal
import socket
import sys
import threading
import time

HERE = pathlib.Path(__file__).parent
VERSION = (HERE / "version").read_text()
BEHAVIOUR = dict(line.partition("=")[::2] for line in (HERE / "behaviour").read_text().split())
BEGAN = time.monotonic()
PADDING = b"." * int(BEHAVIOUR.get("bytes", 0))


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self):
        if self.path == "/slow":
            time.sleep(1)
        elif self.path == "/pid":
            return self.answer(200, str(os.getpid()).encode())
        elif self.path.startswith("/env/"):
            return self.answer(200, os.environ.get(self.path[5:], "-").encode())
        warm = time.monotonic() - BEGAN >= float(BEHAVIOUR.get("503-seconds", 0))
        self.answer(200 if warm else 503, VERSION.encode() + PADDING)

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.answer(200, f"{VERSION} {len(body)}".encode())

    def answer(self, status, body):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 256


print("version", VERSION, "starts", flush=True)
if "crash-if" in BEHAVIOUR and os.path.exists(BEHAVIOUR["crash-if"]):
    sys.exit("the crash file is there")
time.sleep(float(BEHAVIOUR.get("start-seconds", 0)))
while "start-when" in BEHAVIOUR and not os.path.exists(BEHAVIOUR["start-when"]):
    time.sleep(0.02)
server = Server(("127.0.0.1", int(os.environ["PORT"])), Handler)
if "ignore-sigterm" in BEHAVIOUR:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
if "close-on-sigterm" in BEHAVIOUR:
    def close(*_):
        server.socket.close()
        threading.Thread(target=lambda: (time.sleep(0.5), os._exit(0))).start()
    signal.signal(signal.SIGTERM, close)
server.serve_forever(poll_interval=0.05)
'''

_BUILD = '''
"""A build that lasts until the file `GO` is there; it has a child in a session of its own."""
import os
import pathlib
import subprocess
import sys
import time

child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"],
                         start_new_session=True)
with open(STARTED, "a") as file:
    file.write(f"{os.getpid()} {child.pid}\\n")
print("the build waits", flush=True)
while not os.path.exists(GO):
    time.sleep(0.02)
child.kill()
pathlib.Path("public").mkdir(exist_ok=True)
pathlib.Path("public/index.html").write_text(pathlib.Path("version").read_text())
'''


def server(version: str, behaviour: Mapping[str, object] | None = None) -> dict[str, str]:
    """Return the files of a web server."""
    lines = [f"{name}={value}" for name, value in (behaviour or {}).items()]
    return {
        "Procfile": "web: python3 server.py\n",
        "server.py": _SERVER,
        "version": version,
        "behaviour": "\n".join(lines),
    }


class SlowSite:
    """A static site whose build ends when the test says so.

    Deploy it with `options`.
    """

    options = ("--type", "static", "--set", "build_command=python3 build.py",
               "--set", "output=public")  # fmt: skip

    def __init__(self, folder: Path) -> None:
        self._go = folder / "go"
        self._started = folder / "started"
        self.repository = Repository(folder / "site")

    def commit(self, version: str) -> str:
        """Commit a version and return its SHA."""
        build = _BUILD.replace("STARTED", repr(str(self._started))).replace(
            "GO", repr(str(self._go))
        )
        return self.repository.commit(version, {"build.py": build, "version": version})

    def let_go(self) -> None:
        """Let every build end."""
        self._go.touch()

    def hold(self) -> None:
        """Let no build end from now on."""
        self._go.unlink(missing_ok=True)

    def builds(self) -> list[tuple[int, int]]:
        """Return the builds begun so far: the process and its child."""
        if not self._started.exists():
            return []
        lines = self._started.read_text().splitlines()
        return [(int(line.split()[0]), int(line.split()[1])) for line in lines]
