"""Lines per second from a writer to everybody who follows over a WebSocket.

Run: python -m bench.logs_followers [lines]

Beside it: the same lines from memory to the same clients by a bare aiohttp WebSocket, without
a store, without masking, without rights.
"""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import os
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from multiprocessing.queues import Queue
from pathlib import Path

import aiohttp
from aiohttp import web

from bench.tables import show
from helvetia.cli.local_operator import local_token
from helvetia.kernel import accounts
from helvetia.kernel.http.app import make_app, make_runner
from helvetia.kernel.models import Deployment, DeploymentStatus, Service
from helvetia.kernel.pipeline.queue import DeploymentRequest, enqueue
from helvetia.kernel.platform import Platform
from helvetia.kernel.settings import Settings
from helvetia.logs import LogWriter
from helvetia.masking import Redactor
from helvetia.plugins.api import services
from helvetia.plugins.api.inputs import NewService

BATCH = 200
SECRETS = ["correct horse battery", "hunter2hunter2"]
_spawn = multiprocessing.get_context("spawn")


async def follow(url: str, headers: dict[str, str], followers: int, ready: Queue[object]) -> int:
    """Follow until the log ends; return how many lines all followers got."""

    async def one(client: aiohttp.ClientSession) -> int:
        got = 0
        async with client.ws_connect(url, headers=headers, max_msg_size=0) as socket:
            ready.put(None)
            async for message in socket:
                frame = json.loads(message.data)
                if frame.get("ended"):
                    break
                assert not frame["skipped"], "a follower missed lines"
                got += len(frame["records"])
        return got

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as client:
        return sum(await asyncio.gather(*(one(client) for _ in range(followers))))


def client_process(
    url: str, headers: dict[str, str], followers: int, ready: Queue[object], done: Queue[int]
) -> None:
    done.put(asyncio.run(follow(url, headers, followers, ready)))


async def measure(
    url: str,
    headers: dict[str, str],
    *,
    followers: int,
    lines: int,
    write: Callable[[], Awaitable[None]],
) -> tuple[float, float]:
    """Return lines delivered per second, and microseconds of the server's CPU for each."""
    ready: Queue[object] = _spawn.Queue()
    done: Queue[int] = _spawn.Queue()
    arguments = (url, headers, followers, ready, done)
    process = _spawn.Process(target=client_process, args=arguments)
    process.start()
    for _ in range(followers):
        await asyncio.to_thread(ready.get, timeout=60)
    began, before = time.perf_counter(), os.times()
    await write()
    got = await asyncio.to_thread(done.get, timeout=300)
    seconds, after = time.perf_counter() - began, os.times()
    process.join()
    assert got == lines * followers, f"{got} of {lines * followers} lines came"
    used = after.user + after.system - before.user - before.system
    return got / seconds, used / got * 1e6


def line(number: int) -> str:
    return f"{number:>8} npm info fetch GET 200 https resolved sha256 ".ljust(99, ".")


async def bare(lines: int, followers: int) -> tuple[float, float]:
    """Measure a bare WebSocket server."""
    begin = asyncio.Event()

    async def handle(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(compress=False)
        await socket.prepare(request)
        await begin.wait()
        for first in range(0, lines, BATCH):
            records = [
                {"seq": n, "time": 1.0, "stream": "stdout", "stage": "build", "text": line(n)}
                for n in range(first, min(first + BATCH, lines))
            ]
            await socket.send_str(json.dumps({"records": records, "skipped": 0}))
        await socket.send_str(json.dumps({"ended": True}))
        await socket.close()
        return socket

    async def write() -> None:
        begin.set()

    app = web.Application()
    app.router.add_get("/", handle)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}/"
    try:
        return await measure(url, {}, followers=followers, lines=lines, write=write)
    finally:
        await runner.cleanup()


async def followed(
    platform: Platform, base: str, token: str, *, service: Service, lines: int, followers: int
) -> tuple[float, float]:
    """Measure the platform: a writer masks and stores, followers read from the store."""
    deployment, _ = await enqueue(service, DeploymentRequest())

    async def write() -> None:
        writer = await LogWriter.open(
            platform.logs,
            f"deployment:{deployment.id}",
            redactor=Redactor(SECRETS),
            notify=platform.hub.notify,
            max_bytes=None,
        )
        for first in range(0, lines, BATCH):
            numbers = range(first, min(first + BATCH, lines))
            writer.write("".join(line(number) + "\n" for number in numbers).encode())
            await writer.flush()
        await writer.close()
        await Deployment.filter(id=deployment.id).update(status=DeploymentStatus.LIVE)
        platform.hub.notify(f"deployment:{deployment.id}")

    url = f"{base}/api/v1/deployments/{deployment.id}/logs/follow"
    headers = {"Authorization": f"Bearer {token}"}
    return await measure(url, headers, followers=followers, lines=lines, write=write)


async def main(lines: int) -> None:
    rows: list[list[object]] = []
    with tempfile.TemporaryDirectory() as folder:
        platform = Platform(Settings(Path(folder), {}))
        await platform.open()
        token = await local_token()
        team = await accounts.ensure_operator_team()
        new = NewService(name="web", source="https://example.com/x.git")
        service = await services.create(platform, new, team_id=team.id, actor="", trusted=False)

        async def ring(deployment_id: str) -> None:
            del deployment_id

        runner = make_runner(make_app(platform, ring))
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        base = f"http://127.0.0.1:{runner.addresses[0][1]}"
        for followers, count in ((1, lines), (100, lines // 20)):
            raw, raw_cpu = await bare(count, followers)
            rate, cpu = await followed(
                platform, base, token, service=service, lines=count, followers=followers
            )
            what = f"{count:,} lines to {followers} follower{'s' if followers > 1 else ''}"
            rows.append([what, "lines/s", rate, raw, rate / raw])
            rows.append([f"{what}, CPU each", "µs", cpu, raw_cpu, cpu / raw_cpu])
        await runner.cleanup()
        await platform.close()
    show(("what", "unit", "Helvetia", "bare WebSocket", "ratio"), rows)


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 100_000))
