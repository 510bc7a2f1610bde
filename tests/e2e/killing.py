"""Kill the control plane, and look whether everything is as it should be afterwards."""

from __future__ import annotations

import contextlib
import http.client
import json
import signal
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil

from helvetia.kernel.pipeline.planning import KERNEL_STAGES
from helvetia.plugins.routers.traefik.routefile import RouteFile
from tests.postgres_server import query_postgres

from .harness import Installation, Repository, until

# The failpoints that each deployment comes to: within the stages, and at their ends.
INSIDE = (
    "claim:after", "fetch:resolved", "fetch:checked-out", "build:built", "push:pushed",
    "start:row", "start:started", "probe:probed", "activate:generation", "activate:switched",
    "drain:begun", "remove:stopped", "remove:removed", "finish:before", "finish:after",
)  # fmt: skip
PLACES = (*INSIDE, *(f"{name}:{when}" for name in KERNEL_STAGES for when in ("before", "after")))

_APP = """#!/usr/bin/env -S python3 -I -S
import http.server, os, pathlib, socketserver, sys, time

VERSION = (pathlib.Path(__file__).parent / "version").read_bytes()

class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    def do_GET(self):
        if self.path == "/?slow":
            time.sleep(0.3)
        self.send_response(200)
        self.send_header("Content-Length", str(len(VERSION)))
        self.end_headers()
        self.wfile.write(VERSION)
    def log_message(self, *_):
        pass

class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 256
    def server_bind(self):  # without a look-up of the host's name
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = self.server_address

print("starts", flush=True)
Server(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever(poll_interval=0.05)
"""


class App:
    """A service whose versions take no time to build."""

    def __init__(self, folder: Path, name: str) -> None:
        self.name = name
        self.repository = Repository(folder)

    def commit(self, version: str) -> str:
        """Commit a version that answers with its name."""
        program = self.repository.folder / "app"
        program.write_text(_APP)
        program.chmod(0o755)
        return self.repository.commit(version, {"Procfile": "web: ./app\n", "version": version})

    def deploy_first(self, platform: Installation) -> Any:
        return platform.json("deploy", str(self.repository.folder), "--name", self.name)


class Requests:
    """Asks services about fifty times a second and keeps what was not as it should be."""

    def __init__(self, platform: Installation, *names: str) -> None:
        self._platform = platform
        self._names = names
        self._stop = threading.Event()
        self.answers: Counter[tuple[str, str]] = Counter()
        self.failed: list[str] = []

    @contextlib.contextmanager
    def running(self) -> Iterator[Requests]:
        """Ask while the block runs; at its end no request may have failed."""
        threads = [threading.Thread(target=self._ask, args=(name,)) for name in self._names]
        for thread in threads:
            thread.start()
        try:
            yield self
        finally:
            self._stop.set()
            for thread in threads:
                thread.join()
        assert not self.failed, "\n".join(self.failed[:10])

    def await_more(self, count: int = 10) -> None:
        """Wait until each service has answered so many more requests."""
        goals = {name: self.count(name) + count for name in self._names}
        for name, goal in goals.items():
            until(f"{name} answers", lambda name=name, goal=goal: self.count(name) >= goal)

    def count(self, name: str) -> int:
        return sum(n for (service, _), n in list(self.answers.items()) if service == name)

    def _ask(self, name: str) -> None:
        number = 0
        pause = 0.02 * len(self._names)
        while not self._stop.wait(pause):
            number += 1
            began = time.strftime("%H:%M:%S")
            try:
                path = "/?slow" if number % 25 == 0 else "/"
                status, body, _ = self._platform.get(f"{name}.localhost", path)
            except (OSError, http.client.HTTPException) as error:
                self.failed.append(f"{began} {name}: {error!r}")
                continue
            if status == 200:
                self.answers[name, body.decode()] += 1
            else:
                self.failed.append(f"{began} {name}: {status} {body[:80]!r}")


def rows(platform: Installation, query: str, *values: object) -> list[dict[str, Any]]:
    """Ask the database itself; with values it is SQLite."""
    url = platform.settings.get("DATABASE_URL", "")
    if url.startswith("postgres"):
        return query_postgres(url, query)
    path = f"file:{platform.home / 'helvetia.db'}?mode=ro"
    with contextlib.closing(sqlite3.connect(path, uri=True)) as database:
        database.row_factory = sqlite3.Row
        return [dict(row) for row in database.execute(query, values)]


def routes(platform: Installation) -> dict[str, Any]:
    """Return the routes in force by service."""
    found = {}
    for path in (platform.home / "traefik" / "dynamic").glob("*.yml"):
        file = RouteFile.decode(path.read_text())
        if file is not None:
            found[file.route.service_id] = file.route
    return found


def faults(platform: Installation) -> list[str]:
    """Return everything that is not as it should be on an installation that is at rest."""
    found: list[str] = []
    services = rows(platform, "SELECT * FROM service")
    instances = rows(platform, "SELECT * FROM instance")
    releases = rows(platform, "SELECT id, configuration FROM release")
    replicas = {row["id"]: json.loads(row["configuration"])["replicas"] for row in releases}
    known = routes(platform)
    for service in services:
        name, release = service["name"], service["live_release_id"]
        own = [row for row in instances if row["service_id"] == service["id"]]
        route = known.pop(service["id"], None)
        if service["lease_owner"] is not None:
            found.append(f"{name} is leased by {service['lease_owner']}")
        runs = release is not None and service["desired"] == "running"
        if [row["status"] for row in own] != ["live"] * (runs and replicas[release]):
            found.append(f"{name} has the instances {own}")
        if bool(route) != runs:
            found.append(f"{name} has the route {route}")
        if runs and route and own:
            addresses = {(backend.host, backend.port) for backend in route.backends}
            if {route.release_id, *(row["release_id"] for row in own)} != {release}:
                found.append(f"{name}: live {release}, route {route}, instances {own}")
            if addresses != {(row["host"], row["port"]) for row in own}:
                found.append(f"{name}: the route leads to {addresses}, instances {own}")
        expected = "ACTIVE" if runs else "STOPPED" if service["desired"] == "stopped" else ""
        if expected and service["status"] != expected:
            found.append(f"{name} is {service['status']}: {service['status_reason']}")
    found += [f"the route {route} is nobody's" for route in known.values()]
    ids = {row["id"] for row in instances}
    folders = {path.name for path in (platform.home / "process").iterdir()}
    folders -= {".ports.json", ".ports.lock", ".runs"}
    if folders != ids:
        found.append(f"instance folders {folders}, instances {ids}")
    running = Counter(instance_processes(platform))
    if running != Counter(ids):
        found.append(f"processes {running}, instances {ids}")
    found += [f"left: {path}" for path in (platform.home / "work").glob("*")]
    found += [f"left: {path}" for path in (platform.home / "git").glob("work-*")]
    found += [
        f"deployment {row['number']} is {row['status']}" for row in open_deployments(platform)
    ]
    found += stage_faults(platform)
    return found


def stage_faults(platform: Installation) -> list[str]:
    """Return what contradicts itself in the stage journals."""
    stages = rows(
        platform,
        "SELECT d.status AS ended, d.number AS number, s.* FROM stage_run s"
        " JOIN deployment d ON d.id = s.deployment_id ORDER BY d.created_at, s.position",
    )
    found = []
    for row in stages:
        place = f"deployment {row['number']} {row['ended']}: {row['name']} {row['status']}"
        good = ("SUCCEEDED", "SKIPPED") if row["ended"] in ("LIVE", "ROLLED_BACK") else None
        if row["status"] in ("RUNNING", "PENDING") and row["ended"] not in ("QUEUED", "RUNNING"):
            found.append(place)
        elif good and (row["status"] not in good or row["reason"] == "not reached"):
            found.append(f"{place} {row['reason']}")
        elif row["status"] in ("SUCCEEDED", "FAILED") and not row["finished_at"]:
            found.append(f"{place} has no end")
    return found


def open_deployments(platform: Installation) -> list[dict[str, Any]]:
    """Return the deployments that have not ended."""
    return rows(platform, "SELECT * FROM deployment WHERE status IN ('QUEUED', 'RUNNING')")


def instance_processes(platform: Installation) -> list[str]:
    """Return the instance of each program that runs, and not of what that started itself."""
    (fact,) = rows(platform, "SELECT value FROM fact WHERE id = 'installation'")
    mark = f"instance:{fact['value']}:"
    owners: dict[int, str] = {}
    parents: dict[int, int] = {}
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            owner = process.environ().get("HELVETIA_OWNER", "")
            if owner.startswith(mark) and process.status() != psutil.STATUS_ZOMBIE:
                owners[process.pid] = owner.removeprefix(mark)
                parents[process.pid] = process.ppid()
    return [owner for pid, owner in owners.items() if parents[pid] not in owners]


def await_tidy(platform: Installation, *, seconds: float = 20) -> None:
    """Wait until nothing is wrong any more."""
    deadline = time.monotonic() + seconds
    while found := faults(platform):
        assert time.monotonic() < deadline, "\n".join(found)
        time.sleep(0.1)


def await_killed(platform: Installation, *, seconds: float = 30) -> None:
    """Wait until the control plane has been killed."""
    assert platform.process is not None
    assert platform.process.wait(seconds) == -signal.SIGKILL
    platform.process = None


def kill_everything(platform: Installation) -> None:
    """Kill what is left of the installation, as a machine does that loses its power."""
    for line in platform.processes():
        with contextlib.suppress(psutil.Error):
            psutil.Process(int(line.partition(":")[0])).kill()
    until("everything is dead", lambda: not platform.processes())
