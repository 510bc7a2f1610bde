"""Many services, many deployments, few workers, on PostgreSQL and Redis.

Run: python -m bench.fleet [workers] [services] [deployments of each]

Each service is deployed again as soon as its deployment before has ended, so all of them wait all
the time. Every deployment must end LIVE, never two at once for one service, and none may wait while
another service begins three times. Exits with 1 if not. Beside it stands the sum of the raw
builds: the same clone and copy of the same repositories, one after the other.
"""

from __future__ import annotations

import http.client
import itertools
import json
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from bench.tables import show
from tests.e2e.killing import App
from tests.e2e.production import Production, production

_OVERTAKEN = 2
"""How often another service may begin while one waits: a queue in order allows for once, and a
moment between the asking and the looking for one more."""
_SECONDS = 600.0


@dataclass(frozen=True, slots=True)
class Row:
    """One deployment, as the journal has it."""

    id: str
    service: str
    status: str
    attempt: int
    worker: str
    asked: datetime
    began: datetime
    ended: datetime

    @property
    def waited(self) -> float:
        return (self.began - self.asked).total_seconds()


@dataclass(slots=True)
class Found:
    """What a run showed."""

    rows: list[Row]
    seconds: float
    raw_seconds: float
    wrong: list[str] = field(default_factory=list)

    @property
    def fairness(self) -> float:
        """Return Jain's index of the mean waiting time by service: 1 is all the same."""
        means = [statistics.mean(waits) for waits in self.waits.values()]
        squares = sum(mean * mean for mean in means)
        return sum(means) ** 2 / (len(means) * squares) if squares else 1.0

    @property
    def waits(self) -> dict[str, list[float]]:
        """Return the waiting times by service."""
        waits: dict[str, list[float]] = {}
        for row in self.rows:
            waits.setdefault(row.service, []).append(row.waited)
        return waits

    @property
    def most_overtaken(self) -> int:
        """Return how often one other service began, at most, while some deployment waited."""
        most = 0
        for row in self.rows:
            others = Counter(
                other.service
                for other in self.rows
                if other.service != row.service and row.asked < other.began < row.began
            )
            most = max([most, *others.values()])
        return most

    def judge(self, expected: int) -> None:
        """Find what is wrong."""
        if len(self.rows) != expected:
            self.wrong.append(f"{len(self.rows)} of {expected} deployments have ended")
        for row in self.rows:
            if row.status != "LIVE" or row.attempt != 1:
                self.wrong.append(f"{row.service} {row.id}: {row.status}, attempt {row.attempt}")
        by_service: dict[str, list[Row]] = {}
        for row in self.rows:
            by_service.setdefault(row.service, []).append(row)
        for service, rows in by_service.items():
            rows.sort(key=lambda row: row.began)
            for before, after in itertools.pairwise(rows):
                if after.began < before.ended:
                    self.wrong.append(f"{service}: {before.id} and {after.id} ran at once")
        if self.most_overtaken > _OVERTAKEN:
            self.wrong.append(f"a service began {self.most_overtaken} times while another waited")


class Site:
    """A service that is asked for again and again."""

    def __init__(self, cluster: Production, folder: Path, name: str) -> None:
        self.name = name
        app = App(folder / name, name)
        app.commit("one")
        self.repository = app.repository
        self._cluster = cluster
        self._token = json.loads((cluster.home / "control.json").read_text())["token"]
        self._connection = http.client.HTTPConnection("127.0.0.1", cluster.http_port, timeout=60)

    def create(self) -> None:
        self._ask("POST", "services", {
            "name": self.name, "type": "procfile", "source": str(self.repository.folder),
            "settings": {"health": {"interval_seconds": 0.05}, "drain_seconds": 0},
        })  # fmt: skip

    def deploy(self, times: int) -> None:
        """Deploy it so often, each time as soon as the one before has ended."""
        for _ in range(times):
            made = self._ask("POST", f"services/{self.name}/deployments", {})
            deadline = time.monotonic() + _SECONDS
            while not self._ask("GET", f"deployments/{made['id']}")["finished_at"]:
                if time.monotonic() > deadline:
                    return
                time.sleep(0.25)

    def raw_build(self, folder: Path) -> float:
        """Do by hand what a build does here: clone and copy. Return the seconds."""
        began = time.perf_counter()
        target = str(folder / self.name)
        url = f"file://{self.repository.folder}"
        subprocess.run(["git", "clone", "-q", "--depth", "1", url, target], check=True)
        subprocess.run(["cp", "-a", target, f"{target}-built"], check=True)
        return time.perf_counter() - began

    def _ask(self, method: str, path: str, body: object = None) -> Any:
        headers = {"Authorization": f"Bearer {self._token}", "Content-Type": "application/json"}
        content = None if body is None else json.dumps(body)
        self._connection.request(method, f"/api/v1/{path}", body=content, headers=headers)
        answer = self._connection.getresponse()
        text = answer.read()
        if answer.status >= 300:
            raise RuntimeError(f"{method} {path}: {answer.status} {text.decode()}")
        return json.loads(text)


def journal(cluster: Production) -> list[Row]:
    """Return all deployments that have ended, from the database itself."""
    columns = (
        "d.id, s.name, d.status, d.attempt, d.worker, d.created_at, d.started_at, d.finished_at"
    )
    found = cluster.postgres.query(
        cluster.environment["DATABASE_URL"],
        f"SELECT {columns} FROM deployment d JOIN service s ON s.id = d.service_id"
        " WHERE d.finished_at IS NOT NULL AND d.started_at IS NOT NULL",
    )
    return [Row(*row) for row in found]


def measure(folder: Path, *, workers: int, services: int, times: int, **settings: str) -> Found:
    """Run the whole, and judge it."""
    settings = {"HELVETIA_LEASE_SECONDS": "15", **settings}
    with production(folder / "home", **settings) as cluster:
        for _ in range(workers):
            cluster.start_worker()
        sites = [Site(cluster, folder, f"site-{number:02}") for number in range(services)]
        (folder / "raw").mkdir()
        raw = sum(site.raw_build(folder / "raw") for site in sites) * times
        for site in sites:
            site.create()
        threads = [threading.Thread(target=site.deploy, args=(times,)) for site in sites]
        began = time.monotonic()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        found = Found(journal(cluster), time.monotonic() - began, raw)
        found.judge(services * times)
        found.wrong += [line for line in cluster.problems() if not line.startswith("WARNING")]
        return found


def main(workers: int = 4, services: int = 40, times: int = 5) -> int:
    with tempfile.TemporaryDirectory(prefix="helvetia-bench-") as folder:
        found = measure(Path(folder), workers=workers, services=services, times=times)
    waits = sorted(row.waited for row in found.rows)
    means = [statistics.mean(one) for one in found.waits.values()]
    count = services * times
    print(f"{workers} workers, {services} services, {count} deployments")
    rows: list[list[object]] = [
        ["all of them, s", found.seconds],
        ["sum of the raw builds, s", found.raw_seconds],
        ["the same as a ratio", found.seconds / found.raw_seconds],
        ["deployments a second", len(found.rows) / found.seconds],
        ["waited, median, s", statistics.median(waits)],
        ["waited, longest, s", waits[-1]],
        ["mean wait of a service, least, s", min(means)],
        ["mean wait of a service, most, s", max(means)],
        ["Jain's index of the mean waits", found.fairness],
        ["another began while one waited, most", found.most_overtaken],
    ]
    show(("what", "measured"), rows)
    by_worker = Counter(row.worker for row in found.rows)
    show(("worker", "deployments"), [[name, number] for name, number in sorted(by_worker.items())])
    for problem in found.wrong:
        print(f"  ✗ {problem}")
    return bool(found.wrong)


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:])))
