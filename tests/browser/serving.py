"""Serve a furnished control plane from a thread, for browsers that are driven synchronously."""

from __future__ import annotations

import asyncio
import contextlib
import json
import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from aiohttp import web

from helvetia.kernel.http.app import make_app, make_runner
from helvetia.kernel.models import Service, Session
from helvetia.kernel.platform import Platform
from helvetia.kernel.settings import Settings
from helvetia.logs.records import LogRecord
from helvetia.sessions import issue
from tests.e2e.harness import Repository
from tests.web.world import Keys, add_log, add_service, furnish, sign_in

from .furnishing import furnish_more

HOSTILE = (
    "<img src=x onerror=alert(1)>",
    "\x1b]0;title\x07\x1b[2Jgone",
    "\u202etxt.exe\x1b[31",
)


@dataclass(frozen=True, slots=True)
class Served:
    """Where it is, who is signed in, and ids of deployments by meaning.

    Attributes:
        renew: gives the cookie of whoever is signed in, good for minutes from then on.
        repository: a Git repository that the platform may read.
        write: appends lines to the runtime log of a service.
    """

    url: str
    renew: Callable[[], str]
    ids: dict[str, str]
    repository: str
    write: Callable[[str, Sequence[str]], None]

    @property
    def cookie(self) -> str:
        """The cookie of whoever is signed in."""
        return self.renew()


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
        await furnish_more(platform, person.user)
        checkout = Repository(home.parent / "a-shop")
        checkout.commit("Sell", {"index.html": "<h1>shop</h1>"})

        def write(name: str, lines: Sequence[str]) -> None:
            wanted.put((name, lines))

        async def ring(deployment_id: str) -> None:
            """Nobody listens."""

        runner = make_runner(make_app(platform, ring))
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port = runner.addresses[0][1]
        url = f"http://127.0.0.1:{port}"
        session = await Session.filter(user_id=person.user.id).order_by("created_at").first()
        assert session is not None
        keys, own = platform.vault.signing_keys("sessions"), session.id

        def renew() -> str:
            return issue(keys, own, 0).access

        told.append(Served(url, renew, ids, str(checkout.folder), write))
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
