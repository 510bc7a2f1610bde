"""A load of one kind of request from another process, and what it costs this one."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from multiprocessing.queues import Queue
from typing import Any

import aiohttp
from aiohttp import web

Ask = Callable[..., Awaitable[None]]
"""Sends one request over the session it is given first; a function of a module, as it travels."""
_spawn = multiprocessing.get_context("spawn")


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What a load showed: requests a second, and milliseconds."""

    rate: float
    p50: float
    p99: float
    cpu: float

    @classmethod
    def of(cls, latencies: list[float], *, seconds: float, cpu: float) -> Load:
        """Sum up latencies and CPU time in seconds."""
        found = sorted(latencies)
        return cls(
            rate=len(found) / seconds,
            p50=found[len(found) // 2] * 1e3,
            p99=found[int(len(found) * 0.99)] * 1e3,
            cpu=cpu / len(found) * 1e3,
        )


TITLES = ("what", "requests/s", "p50 ms", "p99 ms", "CPU ms each", "CPU ratio")


def row(what: str, load: Load, floor: Load) -> list[object]:
    """Return the row of a load beside the one of a bare handler."""
    return [what, load.rate, load.p50, load.p99, load.cpu, load.cpu / floor.cpu]


def cpu_used() -> float:
    """Return the seconds of CPU that this process has used."""
    times = os.times()
    return times.user + times.system


async def measure(ask: Ask, *arguments: Any, connections: int, seconds: float) -> Load:
    """Ask as fast as the connections allow; the server's CPU is this process's."""
    results: Queue[list[float]] = _spawn.Queue()
    process = _spawn.Process(target=_run, args=(ask, arguments, connections, seconds, results))
    process.start()
    before = cpu_used()
    latencies = await asyncio.to_thread(results.get)
    used = cpu_used() - before
    process.join()
    return Load.of(latencies, seconds=seconds, cpu=used)


async def repeat(work: Callable[[], Awaitable[None]], *, times: int, seconds: float) -> list[float]:
    """Do the work again and again, so many times at once; return the latencies in seconds."""
    latencies: list[float] = []
    end = time.monotonic() + seconds

    async def again() -> None:
        while time.monotonic() < end:
            began = time.perf_counter()
            await work()
            latencies.append(time.perf_counter() - began)

    await asyncio.gather(*(again() for _ in range(times)))
    return latencies


def _run(
    ask: Ask, arguments: tuple[Any, ...], connections: int, seconds: float,
    results: Queue[list[float]],
) -> None:  # fmt: skip
    async def load() -> list[float]:
        connector = aiohttp.TCPConnector(limit=connections)
        async with aiohttp.ClientSession(connector=connector) as client:
            return await repeat(lambda: ask(client, *arguments), times=connections, seconds=seconds)

    results.put(asyncio.run(load()))


async def serve(app: web.Application | web.AppRunner) -> tuple[web.AppRunner, str]:
    """Serve an application on a free port; return its runner and its URL."""
    runner = app if isinstance(app, web.AppRunner) else web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    return runner, f"http://127.0.0.1:{runner.addresses[0][1]}"


async def serve_bare() -> tuple[web.AppRunner, str]:
    """Serve a handler that reads what it is sent and does nothing else."""

    async def answer(request: web.Request) -> web.Response:
        await request.read()
        return web.json_response({"items": []})

    app = web.Application()
    app.router.add_route("*", "/", answer)
    return await serve(app)


async def ring(deployment_id: str) -> None:
    """Be the doorbell of a control plane without workers."""
    del deployment_id
