"""Work within one process: doorbells that carry an id and no truth, and who answers them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable

from taskiq import AsyncBroker, BrokerMessage
from taskiq.receiver import Receiver

Handler = Callable[[str], Awaitable[None]]
_log = logging.getLogger(__name__)


class LocalBroker(AsyncBroker):
    """A broker within one process. What it forgets, the reaper rings again."""

    def __init__(self) -> None:
        super().__init__()
        self._queue: asyncio.Queue[bytes] = asyncio.Queue()

    async def kick(self, message: BrokerMessage) -> None:
        """Take a message; it runs in the receiver's context, never in the caller's."""
        self._queue.put_nowait(message.message)

    async def listen(self) -> AsyncGenerator[bytes, None]:
        """Hand the messages out."""
        while True:
            yield await self._queue.get()


class Jobs:
    """Rings for deployments in this process and answers the ringing.

    Args:
        handler: what to do with a deployment id; must be safe to call twice at once.
        concurrency: deployments at once in this process.
    """

    def __init__(self, handler: Handler, *, concurrency: int) -> None:
        self._broker = broker = LocalBroker()
        self._handler = handler
        self._concurrency = concurrency
        self._ringing: set[str] = set()
        self._stop = asyncio.Event()
        self._listening: asyncio.Task[None] | None = None

        async def deploy(deployment_id: str) -> None:
            await self._deploy(deployment_id)

        self._task = broker.register_task(deploy, task_name="helvetia.deploy")

    @property
    def is_busy(self) -> bool:
        """Whether a deployment that is rung for now would have to wait."""
        return len(self._ringing) >= self._concurrency

    @property
    def room(self) -> int:
        """How many more should be rung for: as many wait as run, and others may take them."""
        return 2 * self._concurrency - len(self._ringing)

    async def start(self) -> None:
        """Begin to answer."""
        self._broker.is_worker_process = True
        await self._broker.startup()
        receiver = Receiver(self._broker, max_async_tasks=self._concurrency, run_startup=False)
        self._listening = asyncio.create_task(receiver.listen(self._stop))

    async def ring(self, deployment_id: str) -> None:
        """Ask some worker to look at a deployment. Ringing twice is harmless."""
        if deployment_id in self._ringing:
            return
        self._ringing.add(deployment_id)
        await self._task.kiq(deployment_id)

    async def stop(self, seconds: float) -> None:
        """Take no more work and wait a while for what is running."""
        self._stop.set()
        if self._listening is not None:
            await asyncio.wait([self._listening], timeout=seconds)
            self._listening.cancel()
        await self._broker.shutdown()

    async def _deploy(self, deployment_id: str) -> None:
        try:
            await self._handler(deployment_id)
        except Exception:
            _log.exception("deployment %s", deployment_id)
        finally:
            self._ringing.discard(deployment_id)
