"""What the processes of an installation tell each other, through a broker."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable

from helvetia.kernel.contracts.broker import Broker

LOG = "log"
"""The first word of the news that a log has grown; its name follows."""
RIGHTS = "rights"
"""The news that somebody may do less than before."""

_SECONDS = 2.0
_BREATH_SECONDS = 0.05
_MOST = 200
_log = logging.getLogger(__name__)


class Doorbell:
    """Says to the other processes that there is something to do, and hears it from them.

    What is said is a hint: who does not hear it finds the same in the database, only later. So
    nothing here waits for the broker, and without one nothing is said.

    Args:
        broker: None if there is only one process, or no broker.
    """

    def __init__(self, broker: Broker | None = None) -> None:
        self._broker = broker
        self._unsaid: set[str] = set()
        self._saying: dict[str, asyncio.Task[None]] = {}
        self._hearing: list[asyncio.Task[None]] = []
        self._stop = asyncio.Event()
        self._answer: Callable[[str], Awaitable[None]] | None = None
        if broker is not None:

            async def deploy(deployment_id: str) -> None:
                if self._answer is not None:
                    await self._answer(deployment_id)

            self._task = broker.queue.register_task(deploy, task_name="helvetia.deploy")

    async def start(
        self, *, told: Callable[[str], None], rung: Callable[[str], Awaitable[None]] | None = None
    ) -> None:
        """Begin to listen.

        Args:
            told: is given news, which are for everybody.
            rung: is given ids of deployments, each in one of the processes that have it.
        """
        if self._broker is None:
            return
        await self._broker.queue.startup()
        self._hearing.append(asyncio.create_task(self._hear(self._broker, told)))
        if rung is not None:
            from taskiq.receiver import Receiver

            self._answer = rung
            self._broker.queue.is_worker_process = True
            receiver = Receiver(self._broker.queue, max_async_tasks=1, run_startup=False)
            self._hearing.append(asyncio.create_task(receiver.listen(self._stop)))

    def ring(self, deployment_id: str) -> None:
        """Ask one worker that listens to look at a deployment."""
        if self._broker is not None:
            self._say(f"ring {deployment_id}", lambda: self._task.kiq(deployment_id))

    def tell(self, news: str) -> None:
        """Tell all processes; what is told many times at once they hear twice at most."""
        if (broker := self._broker) is not None:
            self._say(news, lambda: broker.tell(news))

    async def stop(self) -> None:
        """Hear no more, and give what is being said a moment to get through."""
        if self._broker is None:
            return
        self._stop.set()
        tasks = [*self._saying.values(), *self._hearing]
        for task in self._hearing[:1]:
            task.cancel()
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=_SECONDS)
            for task in late:
                # Not waited for: whatever the broker's client does, the process ends.
                task.cancel()
        with contextlib.suppress(Exception):
            async with asyncio.timeout(_SECONDS):
                await self._broker.queue.shutdown()

    def _say(self, what: str, send: Callable[[], Awaitable[object]]) -> None:
        if len(self._saying) < _MOST or what in self._saying:
            self._unsaid.add(what)
            if what not in self._saying:
                self._saying[what] = asyncio.create_task(self._send(what, send))

    async def _send(self, what: str, send: Callable[[], Awaitable[object]]) -> None:
        try:
            while what in self._unsaid:
                self._unsaid.discard(what)
                async with asyncio.timeout(_SECONDS):
                    await send()
                await asyncio.sleep(_BREATH_SECONDS)
        except Exception as error:
            # The broker says in the log that it is away, once.
            _log.debug("%s was not said: %r", what, error)
        finally:
            self._unsaid.discard(what)
            del self._saying[what]

    async def _hear(self, broker: Broker, told: Callable[[str], None]) -> None:
        async with contextlib.aclosing(broker.hear()) as heard:
            async for news in heard:
                told(news)
