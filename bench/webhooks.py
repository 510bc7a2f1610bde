"""Signed webhooks at 16 connections, on PostgreSQL, beside a bare handler and a bare insert.

Run: python -m bench.webhooks

Each delivery that is taken writes a delivery, a deployment and an event, and supersedes the
deployment before, all in one transaction.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import multiprocessing
import os
import sys
import tempfile
import time
from dataclasses import dataclass
from multiprocessing.queues import Queue
from pathlib import Path

import aiohttp
import asyncpg
from aiohttp import web

from bench.tables import Target, judge, show
from helvetia.kernel import accounts
from helvetia.kernel.http.app import make_app, make_runner
from helvetia.kernel.platform import Platform
from helvetia.kernel.settings import Settings
from helvetia.plugins.api import services
from helvetia.plugins.api.inputs import NewService
from tests.postgres_server import running_postgres

CONNECTIONS = 16
SECONDS = 5.0
_SEED_RATE = 210.0  # what the seed's own implementation did on such a machine
_REPOSITORY = "https://git.example/app.git"
_BODY = json.dumps(
    {
        "ref": "refs/heads/main",
        "after": "a" * 40,
        "repository": {"id": 1, "clone_url": _REPOSITORY, "default_branch": "main"},
        "head_commit": {"message": "change"},
    }
).encode()
_spawn = multiprocessing.get_context("spawn")


async def load(url: str, secret: str, status: int) -> list[float]:
    """Send deliveries as fast as the connections allow; return the latencies."""
    latencies: list[float] = []
    signature = hmac.new(secret.encode(), _BODY, hashlib.sha256).hexdigest()
    headers = {
        "Content-Type": "application/json",
        "X-GitHub-Event": "push",
        "X-Hub-Signature-256": f"sha256={signature}",
    }
    end = time.monotonic() + SECONDS

    async def send(client: aiohttp.ClientSession, number: int) -> None:
        count = 0
        while time.monotonic() < end:
            count += 1
            own = {**headers, "X-GitHub-Delivery": f"{time.time_ns()}-{number}-{count}"}
            began = time.perf_counter()
            async with client.post(url, data=_BODY, headers=own) as answer:
                assert answer.status == status, await answer.text()
                await answer.read()
            latencies.append(time.perf_counter() - began)

    connector = aiohttp.TCPConnector(limit=CONNECTIONS)
    async with aiohttp.ClientSession(connector=connector) as client:
        await asyncio.gather(*(send(client, number) for number in range(CONNECTIONS)))
    return sorted(latencies)


def client_process(url: str, secret: str, status: int, results: Queue[list[float]]) -> None:
    results.put(asyncio.run(load(url, secret, status)))


@dataclass(frozen=True, slots=True)
class Load:
    """What a load showed; milliseconds."""

    rate: float
    p50: float
    p99: float
    cpu: float

    @classmethod
    def of(cls, latencies: list[float], cpu: float) -> Load:
        p50, p99 = latencies[len(latencies) // 2], latencies[int(len(latencies) * 0.99)]
        return cls(len(latencies) / SECONDS, p50 * 1e3, p99 * 1e3, cpu / len(latencies) * 1e3)


def cpu_used() -> float:
    times = os.times()
    return times.user + times.system


async def measure(url: str, secret: str, status: int) -> Load:
    """Load the address from another process; the server's CPU is this process's."""
    results: Queue[list[float]] = _spawn.Queue()
    process = _spawn.Process(target=client_process, args=(url, secret, status, results))
    process.start()
    before = cpu_used()
    latencies = await asyncio.to_thread(results.get)
    used = cpu_used() - before
    process.join()
    return Load.of(latencies, used)


async def bare_inserts(url: str) -> Load:
    """Insert a row with the same body in a transaction of its own, at as many connections."""
    latencies: list[float] = []
    end = time.monotonic() + SECONDS
    async with asyncpg.create_pool(url, min_size=CONNECTIONS, max_size=CONNECTIONS) as pool:
        await pool.execute("CREATE TABLE bare (id bigserial PRIMARY KEY, body bytea)")

        async def insert() -> None:
            while time.monotonic() < end:
                began = time.perf_counter()
                await pool.execute("INSERT INTO bare (body) VALUES ($1)", _BODY)
                latencies.append(time.perf_counter() - began)

        before = cpu_used()
        await asyncio.gather(*(insert() for _ in range(CONNECTIONS)))
        used = cpu_used() - before
    return Load.of(sorted(latencies), used)


async def bare() -> web.AppRunner:
    async def take(request: web.Request) -> web.Response:
        await request.read()
        return web.json_response({}, status=202)

    app = web.Application()
    app.router.add_post("/", take)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    return runner


async def run(database: str, folder: Path) -> int:
    platform = Platform(Settings(folder, {"HELVETIA_DATABASE_URL": database}))
    await platform.open()
    token = await accounts.local_token()
    team = await accounts.ensure_operator_team()

    async def ring(deployment_id: str) -> None:
        del deployment_id

    runner = make_runner(make_app(platform, ring))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    plain = await bare()
    new = NewService(name="app", source=_REPOSITORY)
    await services.create(platform, new, team_id=team.id, actor="", trusted=False)
    url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    headers = {"Authorization": f"Bearer {token}"}
    async with (
        aiohttp.ClientSession() as client,
        client.post(f"{url}/api/v1/services/app/webhook", json={}, headers=headers) as answer,
    ):
        hook = await answer.json()
    floor = await measure(f"http://127.0.0.1:{plain.addresses[0][1]}/", "x", 202)
    loads = [
        ("bare aiohttp handler", floor),
        ("bare insert, without HTTP", await bare_inserts(database)),
        ("signed push, deployed", taken := await measure(hook["url"], hook["secret"], 202)),
        ("wrong signature", await measure(hook["url"], "wrong", 401)),
    ]
    await plain.cleanup()
    await runner.cleanup()
    await platform.close()
    titles = ("what", "requests/s", "p50 ms", "p99 ms", "CPU ms each", "CPU ratio")
    show(
        titles, [[what, it.rate, it.p50, it.p99, it.cpu, it.cpu / floor.cpu] for what, it in loads]
    )
    rate = Target(
        what="signed push, deployed", unit="requests/s", measured=taken.rate,
        at_least=5 * _SEED_RATE,
    )  # fmt: skip
    return judge([rate, Target(what="its p99", unit="ms", measured=taken.p99, at_most=20)])


def main() -> int:
    with running_postgres() as server, tempfile.TemporaryDirectory() as folder:
        return asyncio.run(run(f"{server.url}/postgres", Path(folder)))


if __name__ == "__main__":
    sys.exit(main())
