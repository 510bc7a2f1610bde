"""Serve a furnished control plane from a thread, for browsers that are driven synchronously."""

from __future__ import annotations

import asyncio
import contextlib
import json
import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from aiohttp import web

from helvetia.kernel.accounts import ensure_operator_team
from helvetia.kernel.http.app import make_app, make_runner
from helvetia.kernel.models import Service, utcnow
from helvetia.kernel.platform import Platform
from helvetia.kernel.settings import Settings
from helvetia.logs.records import LogRecord
from helvetia.plugins.notifications.models import Channel, Message
from helvetia.plugins.previews.models import Preview, PreviewPolicy, PreviewState
from tests.web.world import Keys, add_log, add_service, furnish, sign_in

HOSTILE = (
    "<img src=x onerror=alert(1)>",
    "\x1b]0;title\x07\x1b[2Jgone",
    "\u202etxt.exe\x1b[31",
)


@dataclass(frozen=True, slots=True)
class Served:
    """Where it is, who is signed in, and ids of deployments by meaning.

    Attributes:
        write: appends lines to the runtime log of a service.
    """

    url: str
    cookie: str
    ids: dict[str, str]
    write: Callable[[str, Sequence[str]], None]


@contextlib.contextmanager
def served(home: Path) -> Iterator[Served]:
    """Have a control plane without a worker while the block runs."""
    ended = threading.Event()
    began = threading.Event()
    told: list[Served | BaseException] = []
    wanted: queue.SimpleQueue[tuple[str, Sequence[str]]] = queue.SimpleQueue()

    async def serve() -> None:
        platform = Platform(Settings(home, {}))
        await platform.open()
        Keys.vault = platform.vault
        person = await sign_in("anna")
        ids = await furnish(platform)
        await _add_logs(platform)
        await _add_channels()
        await _add_previews()

        def write(name: str, lines: Sequence[str]) -> None:
            wanted.put((name, lines))

        async def ring(deployment_id: str) -> None:
            """Nobody listens."""

        runner = make_runner(make_app(platform, ring))
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port = runner.addresses[0][1]
        told.append(Served(f"http://127.0.0.1:{port}", person.cookie, ids, write))
        began.set()
        while not ended.is_set():
            # Here, because the database belongs to the task that has opened it.
            while not wanted.empty():
                await _write(platform, *wanted.get())
            await asyncio.sleep(0.02)
        await runner.cleanup()
        await platform.close()

    def run() -> None:
        try:
            asyncio.run(serve())
        except BaseException as error:
            told.append(error)
            began.set()
            raise

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    assert began.wait(180)
    if isinstance(told[0], BaseException):
        raise told[0]
    try:
        yield told[0]
    finally:
        ended.set()
        thread.join(30)


async def _write(platform: Platform, name: str, lines: Sequence[str], *, stage: str = "r1") -> None:
    service = await Service.get(name=name)
    await add_log(platform, f"service:{service.id}", [(stage, "stdout", line) for line in lines])


async def _add_logs(platform: Platform) -> None:
    """Add logs as they are seldom, but are."""
    for name in ("talker", "hostile", "twins"):
        await add_service(name)
    talker = await Service.get(name="talker")
    for begin in range(0, 100_000, 5000):
        records = [
            LogRecord(n, 1.8e9 + n, "stdout", "r1", f"line {n}{' needle' if n % 9000 == 0 else ''}")
            for n in range(begin + 1, begin + 5001)
        ]
        await platform.logs.append(f"service:{talker.id}", records)
    lines = [("info", "started"), ("error", "it broke"), ("warn", "hm"), ("error", "still broken")]
    await _write(platform, "blog", [json.dumps({"level": a, "msg": b}) for a, b in lines])
    await _write(platform, "hostile", HOSTILE)
    for number in range(6):
        stage = ("r1.aaaa", "r2.bbbb", "r2.cccc")[number % 3]
        await _write(platform, "twins", [f"line {number}"], stage=stage)


async def _add_channels() -> None:
    """Add a channel of a team, with messages that went well and badly."""
    team = await ensure_operator_team()
    for name, kind in (("operations", "slack"), ("on call", "webhook")):
        channel = await Channel.create(
            id=name.replace(" ", ""), team_id=team.id, name=name, kind=kind, topics=["deployment"],
            target="sealed",
        )  # fmt: skip
        for status, problem in (("sent", ""), ("failed", "the other side answers 404")):
            await Message.create(
                channel_id=channel.id, title="Deployment 4 of shop failed", content={},
                status=status, problem=problem, attempts=1, due_at=utcnow(),
            )  # fmt: skip


async def _add_previews() -> None:
    """Give a service previews, and some of them."""
    shop = await Service.get(name="shop")
    await PreviewPolicy.create(service_id=shop.id)
    for number, title in ((41, "Take TWINT"), (42, "A title that is as long as titles get " * 4)):
        made = await add_service(f"pr-{number}-shop")
        await Preview.create(
            parent_id=shop.id, number=number, service_id=made.id, name=made.name,
            state=PreviewState.OPEN, sha="41d07be3a4", title=title, author="ben", branch="twint",
            url=f"https://github.com/acme/shop/pull/{number}",
            expires_at=utcnow() + timedelta(days=5),
        )  # fmt: skip
