"""A thousand followers of one busy log: every line to each of them, and how late the last one is.

Run: python -m bench.logs_crowd [followers] [seconds]

The control plane and the writer are this process, as in `helvetia up`; the followers are others,
which check that the numbers of all records follow each other. One in fifty reads nothing for a
second at a time: the others must not notice.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import re
import resource
import sys
import tempfile
import time
from multiprocessing.queues import Queue
from pathlib import Path

import aiohttp
import psutil
from aiohttp import web

from bench._load import ring
from bench.tables import show
from helvetia.cli.local_operator import local_token
from helvetia.kernel import accounts
from helvetia.kernel.http.app import make_app, make_runner
from helvetia.kernel.models import Deployment, DeploymentStatus
from helvetia.kernel.pipeline.queue import DeploymentRequest, enqueue
from helvetia.kernel.platform import Platform
from helvetia.kernel.settings import Settings
from helvetia.logs import LogWriter
from helvetia.masking import Redactor
from helvetia.plugins.api import services
from helvetia.plugins.api.inputs import NewService

LINES_A_SECOND = 2000
TICK_SECONDS = 0.1
CLIENTS = 2
SLOW_EVERY = 50
TARGET_MIB = 400
_NUMBER = re.compile(rb'"seq":(\d+),"time":([\d.]+)')
_spawn = multiprocessing.get_context("spawn")


async def follow(
    url: str, headers: dict[str, str], first: int, count: int, ready: Queue[object]
) -> tuple[int, int, list[float], list[float]]:
    """Follow until the log ends; return lines, gaps, and delays of quick and of slow ones."""
    quick: list[float] = []
    slow: list[float] = []
    lines = gaps = 0

    async def one(number: int, client: aiohttp.ClientSession) -> None:
        nonlocal lines, gaps
        is_slow = number % SLOW_EVERY == 0
        delays, last = slow if is_slow else quick, 0
        async with client.ws_connect(url, headers=headers, max_msg_size=0) as socket:
            ready.put(None)
            async for message in socket:
                # Parsing all of it would measure the clients: first and last number are enough.
                data = message.data.encode()
                found = _NUMBER.search(data)
                if found is None:
                    break
                begun = data.rindex(b'{"seq":')
                end = _NUMBER.match(data, begun + 1)
                assert end is not None
                gaps += int(found[1]) != last + 1
                lines += int(end[1]) - int(found[1]) + 1
                last = int(end[1])
                delays.append(time.time() - float(found[2]))
                if is_slow:
                    await asyncio.sleep(1)

    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector) as client:
        await asyncio.gather(*(one(first + number, client) for number in range(count)))
    return lines, gaps, quick, slow


def client_process(
    url: str, headers: dict[str, str], first: int, count: int, ready: Queue[object],
    done: Queue[tuple[int, int, list[float], list[float]]],
) -> None:  # fmt: skip
    done.put(asyncio.run(follow(url, headers, first, count, ready)))


async def write(platform: Platform, log: str, seconds: int) -> tuple[int, float]:
    """Write lines; return how many, and the longest pause of this process."""
    writer = await LogWriter.open(
        platform.logs, log, redactor=Redactor(["hunter2hunter2"]), notify=platform.hub.notify,
        max_bytes=None,
    )  # fmt: skip
    began, written, longest = time.monotonic(), 0, 0.0
    while (now := time.monotonic()) - began < seconds:
        due = int((now - began) * LINES_A_SECOND)
        for number in range(written, due):
            writer.line(f"{number:>8} npm info fetch GET 200 https resolved")
        written = due
        await asyncio.sleep(TICK_SECONDS)
        longest = max(longest, time.monotonic() - now - TICK_SECONDS)
    await writer.close()
    return written, longest


def percentile(delays: list[float], share: float) -> float:
    found = sorted(delays)
    return found[min(int(len(found) * share), len(found) - 1)] if found else 0.0


async def main(followers: int, seconds: int) -> int:
    files = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (files[1], files[1]))
    with tempfile.TemporaryDirectory() as folder:
        platform = Platform(Settings(Path(folder), {}))
        await platform.open()
        token = await local_token()
        team = await accounts.ensure_operator_team()
        new = NewService(name="web", source="https://example.com/x.git")
        service = await services.create(platform, new, team_id=team.id, actor="", trusted=False)
        deployment, _ = await enqueue(service, DeploymentRequest())
        runner = make_runner(make_app(platform, ring))
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0, backlog=2048).start()
        base = f"http://127.0.0.1:{runner.addresses[0][1]}"
        url = f"{base}/api/v1/deployments/{deployment.id}/logs/follow"
        headers = {"Authorization": f"Bearer {token}"}
        ready: Queue[object] = _spawn.Queue()
        done: Queue[tuple[int, int, list[float], list[float]]] = _spawn.Queue()
        each = followers // CLIENTS
        clients = [
            _spawn.Process(target=client_process, args=(url, headers, each * n, each, ready, done))
            for n in range(CLIENTS)
        ]
        for one in clients:
            one.start()
        for _ in range(each * CLIENTS):
            await asyncio.to_thread(ready.get, timeout=120)
        process = psutil.Process()
        before, used = process.memory_info().rss, os.times()
        began = time.monotonic()
        lines, longest = await write(platform, f"deployment:{deployment.id}", seconds)
        after = process.memory_info().rss
        await Deployment.filter(id=deployment.id).update(status=DeploymentStatus.LIVE)
        platform.hub.notify(f"deployment:{deployment.id}")
        found = [await asyncio.to_thread(done.get, timeout=600) for _ in clients]
        whole, spent = time.monotonic() - began, os.times()
        for one in clients:
            one.join()
        await runner.cleanup()
        await platform.close()
    got = sum(part[0] for part in found)
    gaps = sum(part[1] for part in found)
    quick = [delay for part in found for delay in part[2]]
    slow = [delay for part in found for delay in part[3]]
    cpu = spent.user + spent.system - used.user - used.system
    wanted = lines * each * CLIENTS
    p99, grown = percentile(quick, 0.99), (after - before) / 2**20
    rows: list[list[object]] = [
        ["lines written", "lines", lines],
        ["lines that should have come", "lines", wanted],
        ["lines that came", "lines", got],
        ["gaps in the numbers", "gaps", gaps],
        ["delay of followers, p50", "s", percentile(quick, 0.5)],
        ["delay of followers, p99", "s", p99],
        ["delay of slow followers, p99", "s", percentile(slow, 0.99)],
        ["longest pause of the control plane", "s", longest],
        ["memory of the control plane, more by", "MiB", grown],
        ["CPU of the control plane for a line that came", "µs", cpu / got * 1e6],
        ["until the last follower had all", "s", whole],
        ["load of the machine", "", os.getloadavg()[0]],
    ]
    show(("what", "unit", "measured"), rows)
    # Delays are told, not judged: they are those of the clients, too, on the same cores.
    return int(got != wanted or gaps > 0 or grown > TARGET_MIB)


if __name__ == "__main__":
    given = [int(word) for word in sys.argv[1:]]
    sys.exit(asyncio.run(main(*(given + [1000, 20][len(given) :]))))
