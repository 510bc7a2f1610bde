"""Start the real platform as a person does, and use it as a person does."""

from __future__ import annotations

import atexit
import contextlib
import functools
import http.client
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import psutil

from helvetia.testing.kernel import free_port as free_port

from . import warm

HELVETIA = str(Path(sys.executable).with_name("helvetia"))
_PLATFORMS = {"up", "web", "worker", "down"}


def until(what: str, condition: Callable[[], Any], *, seconds: float = 60) -> Any:
    """Wait until the condition gives something true, and return that."""
    deadline = time.monotonic() + seconds
    last: object = None
    while time.monotonic() < deadline:
        try:
            if value := condition():
                return value
            last = value
        except (OSError, http.client.HTTPException) as error:
            last = error
        time.sleep(0.05)
    raise AssertionError(f"{what} did not come true within {seconds} s; last: {last!r}")


def run_command(
    arguments: Sequence[str], environment: Mapping[str, str], timeout: float = 120
) -> subprocess.CompletedProcess[str]:
    """Run a `helvetia` command of this installation and wait for its end."""
    # What becomes a platform or dies on purpose has a process of its own from the start.
    if {*arguments[:1]} & _PLATFORMS or "HELVETIA_FAILPOINT" in environment:
        return _start(HELVETIA, arguments, environment, timeout)
    return warm.run(arguments, environment, timeout)


def _start(
    helvetia: str, arguments: Sequence[str], environment: Mapping[str, str], timeout: float
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [helvetia, *arguments],
        env=environment,
        capture_output=True,
        text=True,
        timeout=timeout,
        stdin=subprocess.DEVNULL,
    )


@functools.cache
def _tables() -> Path:
    """Return a database that the migrations have made: they take longer than all of a start."""
    folder = Path(tempfile.mkdtemp(prefix="helvetia-tables-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    environment = {**os.environ, "HELVETIA_HOME": str(folder)}
    subprocess.run([HELVETIA, "migrate"], env=environment, check=True, capture_output=True)
    return folder / "helvetia.db"


def _give_tables(home: Path) -> None:
    if not home.exists():
        home.mkdir(mode=0o700, parents=True)
        shutil.copy(_tables(), home)


class Installation:
    """One data folder with its addresses, and the platform that runs on it."""

    def __init__(self, home: Path, *, helvetia: str = HELVETIA, **settings: str) -> None:
        self.home = home
        self.settings = settings
        self.helvetia = helvetia
        self.http_port = free_port()
        self.edge_port = free_port()
        self.process: subprocess.Popen[bytes] | None = None
        self.log = home.parent / f"{home.name}.log"
        self.log.touch()

    @property
    def environment(self) -> dict[str, str]:
        return {
            **{k: v for k, v in os.environ.items() if not k.startswith("HELVETIA_")},
            "HELVETIA_HOME": str(self.home),
            "HELVETIA_HTTP": f"127.0.0.1:{self.http_port}",
            "HELVETIA_EDGE": f"127.0.0.1:{self.edge_port}",
            "NO_COLOR": "1",
            **self.settings,
        }

    def up(self, **settings: str) -> None:
        """Start the platform and wait until it is ready."""
        self.begin_up(**settings)
        until("helvetia up is ready", self._is_ready, seconds=100)

    def begin_up(self, **settings: str) -> None:
        """Start the platform and wait for nothing."""
        _give_tables(self.home)
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [self.helvetia, "up"],
                env={**self.environment, **settings},
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )

    def _is_ready(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, f"helvetia up ended:\n{self.log.read_text()}"
        control = self.home / "control.json"
        # A control plane that was killed leaves its file, with a token that is void now.
        if not control.exists() or json.loads(control.read_text())["pid"] != self.process.pid:
            return False
        return self.get_control("/readyz") == 200

    def get_control(self, path: str) -> int:
        connection = http.client.HTTPConnection("127.0.0.1", self.http_port, timeout=5)
        connection.request("GET", path)
        return connection.getresponse().status

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Signal the control plane and wait for its end."""
        assert self.process is not None
        self.process.send_signal(number)
        code = self.process.wait(60)
        self.process = None
        return code

    def tear_down(self) -> None:
        """End the platform and everything it left running."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
        if "HELVETIA_DOCKER_HOST" in self.settings:
            # What runs in an engine is no process of ours.
            subprocess.run([self.helvetia, "down"], env=self.environment, timeout=90, check=False)
            return
        # A tenth of the work of `helvetia down`. Supervisors tidy up after themselves.
        for process in (left := self._processes()):
            with contextlib.suppress(psutil.NoSuchProcess):
                is_supervisor = any(word.endswith("/shim.py") for word in process.cmdline())
                process.terminate() if is_supervisor else process.kill()
        psutil.wait_procs(left, timeout=5)
        for process in self._processes():
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()

    def run(
        self, *arguments: str, code: int = 0, timeout: float = 120, extra: Mapping[str, str] = {}
    ) -> subprocess.CompletedProcess[str]:
        """Run a `helvetia` command and expect its exit code."""
        start = (
            run_command if self.helvetia == HELVETIA else functools.partial(_start, self.helvetia)
        )
        done = start(arguments, {**self.environment, **extra}, timeout)
        assert done.returncode == code, (
            f"helvetia {' '.join(arguments)}: exit {done.returncode}, expected {code}\n"
            f"--- stdout\n{done.stdout}\n--- stderr\n{done.stderr}\n"
            f"--- platform\n{self.log.read_text()[-3000:]}"
        )
        return done

    def begin(self, *arguments: str) -> subprocess.Popen[str]:
        """Begin a `helvetia` command and do not wait for its end."""
        return subprocess.Popen(
            [self.helvetia, *arguments],
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
            text=True,
        )

    def json(self, *arguments: str, code: int = 0, timeout: float = 120) -> Any:
        """Run a command with `--json` and return the document."""
        return json.loads(self.run(*arguments, "--json", code=code, timeout=timeout).stdout)

    def api(self, method: str, path: str, body: object = None) -> Any:
        """Ask the control plane's API as the command line does; for tests that poll."""
        token = json.loads((self.home / "control.json").read_text())["token"]
        connection = http.client.HTTPConnection("127.0.0.1", self.http_port, timeout=10)
        try:
            headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
            content = None if body is None else json.dumps(body)
            connection.request(method, f"/api/v1/{path}", body=content, headers=headers)
            answer = connection.getresponse()
            text = answer.read()
            assert answer.status < 300, f"{method} {path}: {answer.status} {text.decode()}"
            return json.loads(text) if text else None
        finally:
            connection.close()

    def service(self, name: str) -> Any:
        """Return a service with its instances, as the platform sees it now."""
        return self.api("GET", f"services/{name}")

    def deployments(self, name: str) -> list[Any]:
        """Return the deployments of a service, the newest first."""
        found: list[Any] = self.api("GET", f"services/{name}/deployments")["items"]
        return found

    def supervised(self, instance_id: str) -> dict[str, Any]:
        """Return what the supervisor of an instance wrote: its pid and the program's."""
        path = self.home / "process" / instance_id / "run" / "state.json"
        state: dict[str, Any] = json.loads(path.read_text())
        return state

    def traefik(self) -> dict[str, Any]:
        """Return what the supervisor of Traefik wrote."""
        path = self.home / "traefik" / "process" / "state.json"
        state: dict[str, Any] = json.loads(path.read_text())
        return state

    def processes(self) -> list[str]:
        """Return the command lines of all processes that have to do with this installation."""
        return [f"{process.pid}: {' '.join(process.cmdline())}" for process in self._processes()]

    def _processes(self) -> list[psutil.Process]:
        mark = str(self.home)
        found = []
        for process in psutil.process_iter():
            try:
                if process.pid == os.getpid() or process.status() == psutil.STATUS_ZOMBIE:
                    continue
                words = [*process.cmdline(), *process.environ().values(), process.cwd()]
                if any(mark in word for word in words):
                    found.append(process)
            except psutil.Error:
                continue
        return found

    def get(
        self, hostname: str, path: str = "/", *, headers: Mapping[str, str] = {}
    ) -> tuple[int, bytes, Mapping[str, str]]:
        """Get a page of a service through the real proxy."""
        connection = http.client.HTTPConnection("127.0.0.1", self.edge_port, timeout=10)
        try:
            connection.request("GET", path, headers={"Host": hostname, **headers})
            answer = connection.getresponse()
            return answer.status, answer.read(), dict(answer.getheaders())
        finally:
            connection.close()


@contextlib.contextmanager
def running(installation: Installation, **settings: str) -> Iterator[Installation]:
    """Have it up while the block runs; the settings are those of this start alone."""
    try:
        installation.up(**settings)
        yield installation
    finally:
        installation.tear_down()


class Cluster(Installation):
    """A control plane and any number of workers, as processes of their own on one data folder."""

    def __init__(self, home: Path, **settings: str) -> None:
        super().__init__(home, **{"HELVETIA_LEASE_SECONDS": "2", **settings})
        self.parts: list[subprocess.Popen[bytes]] = []

    def start(self, command: str, **settings: str) -> subprocess.Popen[bytes]:
        """Start a part: `web` or `worker`."""
        _give_tables(self.home)
        with self.log.open("ab") as log:
            part = subprocess.Popen(
                [self.helvetia, command],
                env={**self.environment, **settings},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        self.parts.append(part)
        return part

    def start_web(self) -> subprocess.Popen[bytes]:
        """Start a control plane and wait until it answers."""
        part = self.start("web")
        until("the control plane is ready", self.is_ready, seconds=60)
        return part

    def is_ready(self) -> bool:
        return (self.home / "control.json").exists() and self.get_control("/readyz") == 200

    def end_parts(self) -> None:
        """Kill all parts; services go on."""
        for part in self.parts:
            part.kill()
            part.wait()
        self.parts.clear()

    def tear_down(self) -> None:
        self.end_parts()
        super().tear_down()


class Repository:
    """A real git repository."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True)
        self.git("init", "-q", "-b", "main")

    def git(self, *arguments: str) -> str:
        command = ["git", "-c", "user.name=Ada", "-c", "user.email=ada@example.com", *arguments]
        done = subprocess.run(command, cwd=self.folder, check=True, capture_output=True, text=True)
        return done.stdout.strip()

    def commit(self, message: str, files: Mapping[str, str]) -> str:
        """Write files, commit them, return the SHA."""
        for name, content in files.items():
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content)
        self.git("add", "-A")
        self.git("commit", "-q", "-m", message)
        return self.git("rev-parse", "HEAD")
