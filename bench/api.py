"""`GET /api/v1/services` beside a bare aiohttp handler, at 32 connections."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import tempfile
import time
from pathlib import Path

import aiohttp
from aiohttp import web

from helvetia.kernel import accounts
from helvetia.kernel.http.app import make_app, make_runner
from helvetia.kernel.models import Service
from helvetia.kernel.platform import Platform
from helvetia.kernel.settings import Settings

CONNECTIONS = 32
SECONDS = 4.0


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


def client_process(url: str, headers: dict[str, str], results: multiprocessing.Queue) -> None:
    results.put(asyncio.run(load(url, headers)))


async def measure(name: str, url: str, headers: dict[str, str]) -> float:
    """Load the address from another process and print a row."""
    results: multiprocessing.Queue = multiprocessing.get_context("spawn").Queue()
    process = multiprocessing.get_context("spawn").Process(
        target=client_process, args=(url, headers, results)
    )
    process.start()
    before = os.times()
    rate, latencies = await asyncio.to_thread(results.get)
    after = os.times()
    process.join()
    cpu = (after.user + after.system - before.user - before.system) / len(latencies)
    p50, p99 = latencies[len(latencies) // 2], latencies[int(len(latencies) * 0.99)]
    print(
        f"{name:<32} {rate:>8.0f}/s  p50 {p50 * 1e3:6.1f} ms  p99 {p99 * 1e3:6.1f} ms"
        f"  {cpu * 1e3:6.2f} ms CPU each"
    )
    return rate


async def bare() -> web.AppRunner:
    async def hello(request: web.Request) -> web.Response:
        return web.json_response({"items": []})

    app = web.Application()
    app.router.add_get("/", hello)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    return runner


async def main() -> None:
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
        floor = await measure("bare aiohttp", f"http://127.0.0.1:{plain.addresses[0][1]}/", {})
        await measure("healthz", f"{url}/healthz", {})
        await Service.create(team=team, name="only", source_url="https://example.com/x.git")
        one = await measure("services, 1", f"{url}/api/v1/services", headers)
        for number in range(999):
            await Service.create(
                team=team, name=f"s{number}", source_url="https://example.com/x.git"
            )
        many = await measure("services, 1,000 (page of 50)", f"{url}/api/v1/services", headers)
        print(f"ratio to the bare handler: 1 service {one / floor:.2f}, 1,000 {many / floor:.2f}")
        await plain.cleanup()
        await runner.cleanup()
        await platform.close()


if __name__ == "__main__":
    asyncio.run(main())
