"""`GET /api/v1/services` beside a bare aiohttp handler, at 32 connections."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import sys
import tempfile
import time
from dataclasses import dataclass
from multiprocessing.queues import Queue
from pathlib import Path

import aiohttp
from aiohttp import web

from bench.tables import Target, judge, show
from helvetia.kernel import accounts
from helvetia.kernel.http.app import make_app, make_runner
from helvetia.kernel.platform import Platform
from helvetia.kernel.settings import Settings
from helvetia.plugins.api import services
from helvetia.plugins.api.inputs import NewService

CONNECTIONS = 32
SECONDS = 4.0
_spawn = multiprocessing.get_context("spawn")


async def load(url: str, headers: dict[str, str]) -> tuple[float, list[float]]:
    """Ask as fast as the connections allow; return requests per second and latencies."""
    latencies: list[float] = []
    end = time.monotonic() + SECONDS

    async def ask(client: aiohttp.ClientSession) -> None:
        while time.monotonic() < end:
            began = time.perf_counter()
            async with client.get(url, headers=headers) as answer:
                assert answer.status == 200, await answer.text()
                await answer.read()
            latencies.append(time.perf_counter() - began)

    connector = aiohttp.TCPConnector(limit=CONNECTIONS)
    async with aiohttp.ClientSession(connector=connector) as client:
        await asyncio.gather(*(ask(client) for _ in range(CONNECTIONS)))
    return len(latencies) / SECONDS, sorted(latencies)


def client_process(
    url: str, headers: dict[str, str], results: Queue[tuple[float, list[float]]]
) -> None:
    results.put(asyncio.run(load(url, headers)))


@dataclass(frozen=True, slots=True)
class Load:
    """What a load of one address showed."""

    rate: float
    p50: float
    p99: float
    cpu: float


async def measure(url: str, headers: dict[str, str]) -> Load:
    """Load the address from another process; the server's CPU is this process's."""
    results: Queue[tuple[float, list[float]]] = _spawn.Queue()
    process = _spawn.Process(target=client_process, args=(url, headers, results))
    process.start()
    before = os.times()
    rate, latencies = await asyncio.to_thread(results.get)
    after = os.times()
    process.join()
    cpu = (after.user + after.system - before.user - before.system) / len(latencies)
    p50, p99 = latencies[len(latencies) // 2], latencies[int(len(latencies) * 0.99)]
    return Load(rate, p50 * 1e3, p99 * 1e3, cpu * 1e3)


async def bare() -> web.AppRunner:
    async def hello(request: web.Request) -> web.Response:
        return web.json_response({"items": []})

    app = web.Application()
    app.router.add_get("/", hello)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    return runner


async def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        platform = Platform(Settings(Path(folder), {}))
        await platform.open()
        token = await accounts.local_token()
        team = await accounts.ensure_operator_team()

        async def ring(deployment_id: str) -> None:
            del deployment_id

        runner = make_runner(make_app(platform, ring))
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        plain = await bare()
        headers = {"Authorization": f"Bearer {token}"}
        url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        listing = f"{url}/api/v1/services"

        async def create(name: str) -> None:
            new = NewService(name=name, source="https://example.com/x.git")
            await services.create(platform, new, team_id=team.id, actor="", trusted=False)

        floor = await measure(f"http://127.0.0.1:{plain.addresses[0][1]}/", {})
        loads = [("bare aiohttp handler", floor), ("healthz", await measure(f"{url}/healthz", {}))]
        await create("only")
        loads.append(("services, 1", await measure(listing, headers)))
        for number in range(999):
            await create(f"s{number}")
        loads.append(("services, 1,000 (page of 50)", await measure(listing, headers)))
        whole = f"{listing}?limit=100"
        loads.append(("services, 1,000 (page of 100)", await measure(whole, headers)))
        await plain.cleanup()
        await runner.cleanup()
        await platform.close()
    titles = ("what", "requests/s", "p50 ms", "p99 ms", "CPU ms each", "CPU ratio")
    show(
        titles,
        [[what, it.rate, it.p50, it.p99, it.cpu, it.cpu / floor.cpu] for what, it in loads],
    )
    found = dict(loads)
    one, many = found["services, 1"], found["services, 1,000 (page of 50)"]
    return judge(
        [
            Target(what="services, 1", unit="requests/s", measured=one.rate, at_least=800),
            Target(what="services, 1, CPU each", unit="ms", measured=one.cpu, at_most=1),
            Target(what="services, 1,000, CPU each", unit="ms", measured=many.cpu, at_most=1),
        ]
    )


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
