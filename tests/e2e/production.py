"""The server profile with real parts: PostgreSQL, Redis, a control plane, workers."""

from __future__ import annotations

import contextlib
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.postgres_server import PostgresServer, running_postgres
from tests.redis_server import RedisServer, running_redis

from .harness import Cluster, until


class Production(Cluster):
    """A control plane and workers that share a PostgreSQL and a Redis of their own."""

    def __init__(
        self, home: Path, postgres: PostgresServer, redis: RedisServer, **settings: str
    ) -> None:
        self.postgres = postgres
        self.redis = redis
        urls = {"DATABASE_URL": postgres.new_database(), "REDIS_URL": redis.url}
        super().__init__(home, **urls, **settings)

    def start_worker(self, **settings: str) -> subprocess.Popen[bytes]:
        """Start a worker and wait until it is on the list."""
        part = self.start("worker", **settings)
        until("the worker is there", lambda: self.worker(part) is not None, seconds=60)
        return part

    def worker(self, part: subprocess.Popen[bytes]) -> Any:
        """Return what the list of workers says of a part; None if it is not there."""
        found = self.api("GET", "workers")["items"]
        return next((w for w in found if w["name"].split(":")[1] == str(part.pid)), None)

    def end_part(
        self, part: subprocess.Popen[bytes], number: signal.Signals = signal.SIGTERM
    ) -> int:
        """Signal a part and wait for its end."""
        part.send_signal(number)
        code = part.wait(30)
        self.parts.remove(part)
        return code

    def newest(self, service: str) -> Any:
        """Return the newest deployment of a service."""
        return self.deployments(service)[0]

    def lines(self, deployment_id: str) -> list[str]:
        """Return the log of a deployment."""
        page = self.api("GET", f"deployments/{deployment_id}/logs?limit=1000")
        return [record["text"] for record in page["records"]]

    def problems(self) -> list[str]:
        """Return what the parts have written that is a warning or worse."""
        words = ("WARNING", "ERROR", "Traceback")
        return [line for line in self.log.read_text().splitlines() if line.startswith(words)]


@contextlib.contextmanager
def production(home: Path, **settings: str) -> Iterator[Production]:
    """Run PostgreSQL, Redis and a control plane while the block runs."""
    with running_postgres() as postgres, running_redis() as redis:
        made = Production(home, postgres, redis, **settings)
        try:
            made.start_web()
            yield made
        finally:
            made.tear_down()
