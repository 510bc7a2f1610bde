"""A steady, mixed load through the proxy, and what came of each request."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import aiohttp

_BODY = b"x" * 10_000
_TIMEOUT = aiohttp.ClientTimeout(total=15)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came of one request; `problem` is empty if all was well."""

    kind: str
    began: float
    ended: float
    version: str
    problem: str = ""


class Load:
    """Asks `hostname` at a fixed rate, whether the answers come or not.

    Half of the requests use kept connections and half bring their own; every fourth is a POST;
    every fiftieth takes the app a second.
    """

    def __init__(self, port: int, hostname: str, *, rate: float = 100) -> None:
        self._url = f"http://127.0.0.1:{port}"
        self._headers = {"Host": hostname}
        self._rate = rate
        self.answers: list[Answer] = []

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Ask while the block runs, then wait for the last answers."""
        async with contextlib.AsyncExitStack() as stack:
            kept, single = [
                await stack.enter_async_context(
                    aiohttp.ClientSession(
                        headers=self._headers,
                        timeout=_TIMEOUT,
                        connector=aiohttp.TCPConnector(limit=0, force_close=force_close),
                    )
                )
                for force_close in (False, True)
            ]
            asking = asyncio.create_task(self._ask(kept, single))
            try:
                yield
            finally:
                asking.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await asking

    async def _ask(self, kept: aiohttp.ClientSession, single: aiohttp.ClientSession) -> None:
        requests: set[asyncio.Task[None]] = set()
        began = time.monotonic()
        try:
            for number in range(1_000_000):
                await asyncio.sleep(began + number / self._rate - time.monotonic())
                session = kept if number % 2 else single
                task = asyncio.create_task(self._one(session, number))
                requests.add(task)
                task.add_done_callback(requests.discard)
        finally:
            await asyncio.gather(*requests)

    async def _one(self, session: aiohttp.ClientSession, number: int) -> None:
        kind = "POST" if number % 4 == 3 else "slow" if number % 50 == 0 else "GET"
        began, version, problem = time.time(), "", ""
        try:
            if kind == "POST":
                request = session.post(f"{self._url}/", data=_BODY)
            else:
                request = session.get(self._url + ("/slow" if kind == "slow" else "/"))
            async with request as answer:
                words = (await answer.text()).split()
                version = words[0] if words else ""
                if answer.status != 200:
                    problem = f"status {answer.status}"
                elif kind == "POST" and words[1:] != [str(len(_BODY))]:
                    problem = "the body did not arrive"
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            problem = repr(error)
        self.answers.append(
            Answer(kind=kind, began=began, ended=time.time(), version=version, problem=problem)
        )

    @property
    def failed(self) -> list[Answer]:
        """The requests that were not answered as they should be."""
        return [answer for answer in self.answers if answer.problem]

    @property
    def problems(self) -> dict[str, int]:
        """What went wrong how often."""
        return dict(Counter(f"{answer.kind}: {answer.problem}" for answer in self.failed))

    def versions(self) -> Counter[str]:
        """Return how many requests each version answered."""
        return Counter(answer.version for answer in self.answers if not answer.problem)

    def mixed_seconds(self, former: str, new: str) -> float:
        """Return how long both versions took new requests."""
        begun_new = [answer.began for answer in self.answers if answer.version == new]
        begun_old = [answer.began for answer in self.answers if answer.version == former]
        return max(0.0, max(begun_old, default=0) - min(begun_new, default=0))

    def ended_between(self, since: float, until: float) -> int:
        """Return how many answers came in a time."""
        return sum(since <= answer.ended <= until for answer in self.answers)


def switch_window(deployment: dict[str, Any]) -> tuple[float, float]:
    """Return when the switch of a deployment began and when its former version was gone."""
    stages = {stage["name"]: stage for stage in deployment["stages"]}
    began = datetime.fromisoformat(stages["activate"]["started_at"])
    ended = datetime.fromisoformat(stages["retire"]["finished_at"])
    return began.timestamp(), ended.timestamp()
