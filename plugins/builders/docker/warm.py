"""Builder containers, and those that are kept for a while after a build for the next one."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import replace

from helvetia import HelvetiaError
from helvetia.plugins.runtimes.docker.engine import Engine

from .container import Container, Wanted, running
from .objects import Objects
from .settings import DockerBuilderSettings

# The deployment whose build is over is still under way, and may need the processors.
SHRINK_AFTER_SECONDS = 15.0


class Builders:
    """Lends builder containers: the one of the service's last build, or a new one.

    A container is for one service only. One that waits has little memory; it ends when it has
    waited long enough, when there are too many, and with this process, which holds its standard
    input.
    """

    def __init__(self, engine: Engine, objects: Objects, settings: DockerBuilderSettings) -> None:
        self._engine = engine
        self._objects = objects
        self._settings = settings
        self._waiting: dict[str, _Held] = {}
        self._ending: set[asyncio.Task[None]] = set()

    @contextlib.asynccontextmanager
    async def lend(self, wanted: Wanted) -> AsyncIterator[Container]:
        """Lend a container for the body, after which it is kept if all went well.

        Raises:
            BuildFailed: no engine starts inside.
        """
        held = await self._again(wanted) or await self._new(wanted)
        try:
            yield held.container
        except BaseException:
            # Shielded: a second cancel must not leave anything behind.
            await asyncio.shield(held.end())
            raise
        await self._keep(held)

    async def end(self, service_id: str) -> None:
        """End the container of a service that waits; quiet if there is none."""
        if held := self._waiting.pop(service_id, None):
            await asyncio.shield(held.end())

    async def close(self) -> None:
        """End all that wait."""
        for service_id in list(self._waiting):
            self._begin_end(service_id)
        await asyncio.gather(*self._ending, return_exceptions=True)

    async def _again(self, wanted: Wanted) -> _Held | None:
        held = self._waiting.pop(wanted.service_id, None)
        if held is None:
            return None
        try:
            if await held.stop_waiting() and held.fits(wanted):
                return held
        except BaseException as error:
            await asyncio.shield(held.end())
            if not isinstance(error, HelvetiaError):
                raise
            return None
        await asyncio.shield(held.end())
        return None

    async def _new(self, wanted: Wanted) -> _Held:
        # The kernel has one build of a service at a time: what is there belongs to a dead one,
        # or waits in another worker.
        await self._objects.collect(wanted.service_id)
        held = _Held(self._engine, self._objects, wanted)
        try:
            await held.start()
        except BaseException:
            await asyncio.shield(held.end())
            raise
        return held

    async def _keep(self, held: _Held) -> None:
        service_id = held.wanted.service_id
        settings = self._settings
        # Without a volume no layers are to be kept, and the engine has some.
        if not (settings.warm_seconds and settings.warm_builders and held.wanted.volume):
            await asyncio.shield(held.end())
            return
        self._waiting[service_id] = held
        held.wait(settings, lambda: self._expire(held))
        while len(self._waiting) > settings.warm_builders:
            self._begin_end(next(iter(self._waiting)))

    def _expire(self, held: _Held) -> None:
        if self._waiting.get(held.wanted.service_id) is held:
            self._begin_end(held.wanted.service_id)

    def _begin_end(self, service_id: str) -> None:
        task = asyncio.create_task(self._waiting.pop(service_id).end())
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)


class _Held:
    """A container and the task in which it lives."""

    container: Container

    def __init__(self, engine: Engine, objects: Objects, wanted: Wanted) -> None:
        self.wanted = wanted
        self._engine = engine
        self._objects = objects
        self._started = asyncio.Event()
        self._over = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None
        self._shrinking: asyncio.Task[bool] | None = None
        self._task = asyncio.create_task(self._live())

    def fits(self, wanted: Wanted) -> bool:
        """Tell whether a build that wants this can have it, however long it may take."""
        limits = replace(wanted.limits, seconds=self.wanted.limits.seconds)
        return replace(wanted, limits=limits) == self.wanted

    async def start(self) -> None:
        """Wait until it is ready."""
        starting = asyncio.create_task(self._started.wait())
        try:
            await asyncio.wait([starting, self._task], return_when=asyncio.FIRST_COMPLETED)
        finally:
            starting.cancel()
        if self._task.done():
            self._task.result()

    def wait(self, settings: DockerBuilderSettings, then: Callable[[], None]) -> None:
        """Give back memory, which no build waits for, and have something done when it has waited
        for long, needs more memory than that, or has ended by itself.
        """
        self._timer = asyncio.get_running_loop().call_later(settings.warm_seconds, then)
        self._shrinking = asyncio.create_task(self._shrink(settings.warm_mb))
        self._shrinking.add_done_callback(lambda done: None if _is_true(done) else then())
        self._task.add_done_callback(lambda _: then())

    async def _shrink(self, megabytes: int) -> bool:
        await asyncio.sleep(SHRINK_AFTER_SECONDS)
        with contextlib.suppress(HelvetiaError):
            await self.container.shrink(megabytes)
            return True
        return False

    async def stop_waiting(self) -> bool:
        """Stop to wait for a build; tell whether one can have it.

        Raises:
            HelvetiaError: the engine does not say whether it still runs.
        """
        if self._timer is not None:
            self._timer.cancel()
        if self._shrinking is None or self._task.done():
            return False
        if not self.container.is_small:
            self._shrinking.cancel()
        # Two changes of its memory at once would end in the wrong order.
        elif not await self._shrinking:
            return False
        return self.container.young and await self.container.is_running()

    async def end(self) -> None:
        """End it, and wait until nothing is left of it."""
        if self._timer is not None:
            self._timer.cancel()
        if self._shrinking is not None:
            self._shrinking.cancel()
        if not self._started.is_set():
            self._task.cancel()
        self._over.set()
        await asyncio.wait([self._task])
        if not self._task.cancelled():
            self._task.exception()  # what could not be removed is collected later

    async def _live(self) -> None:
        async with running(self._engine, self._objects, self.wanted) as container:
            self.container = container
            self._started.set()
            tasks = [
                asyncio.create_task(container.ended()),
                asyncio.create_task(self._over.wait()),
            ]
            try:
                await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)


def _is_true(done: asyncio.Task[bool]) -> bool:
    return not done.cancelled() and done.exception() is None and done.result()
