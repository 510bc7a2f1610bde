"""Notice which limit a build has reached, and say so."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator

from helvetia import BuildFailed, HelvetiaError

from .container import Container, Limits
from .steps import Steps

_LOOK_SECONDS = 0.25
_LOOKS_AT_LIMIT = 8
_NEAR = 0.98
_OOM_SECONDS = 1.0
_KILLED = re.compile(r"\bkilled\b|exit code: 137|code: 137|exit status 137", re.I)
# The last ones are how a program ends that writes a file which is too large.
_NO_SPACE = re.compile(
    r"no space left on device|file too large|file size limit exceeded|exit status 153", re.I
)
_NO_FORK = re.compile(r"can't fork|cannot fork|Resource temporarily unavailable", re.I)
# What the client of the inner engine says when that could start no thread, and broke.
_BROKE = re.compile(
    r"unexpected EOF|transport is closing|connection reset|says nothing about the reason", re.I
)


class Watch:
    """Watches a builder container while the build runs in it."""

    def __init__(self, container: Container, limits: Limits, section: str) -> None:
        self._raise = f"Let the operator raise `%s` in section [{section}]"
        self._container = container
        self._limits = limits
        self._oom = asyncio.Event()
        self._ended = asyncio.Event()
        self._full = 0
        self._was_full = False

    @contextlib.asynccontextmanager
    async def watching(self, steps: Steps) -> AsyncIterator[None]:
        """Watch during the body, and say why the build failed if the container ends in it."""
        tasks = [asyncio.create_task(self._listen()), asyncio.create_task(self._count())]
        try:
            yield
        except BuildFailed:
            raise
        except HelvetiaError as error:
            if await self._container.is_running():
                raise
            raise await self.failure(steps, died=True) from error
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def failure(self, steps: Steps, *, died: bool) -> BuildFailed:
        """Say why the build failed: by a limit, or by itself."""
        said = "\n".join([steps.reason(), *(steps.failed.last if steps.failed else ())])
        if died or _KILLED.search(said):
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_OOM_SECONDS):  # the news may be on its way
                    await self._oom.wait()
        limits, where = self._limits, steps.running()
        if self._oom.is_set():
            return BuildFailed(
                f"memory limit {limits.memory_mb} MB reached {where}",
                hint=f"Let the build use less memory. {self._raise % 'memory_mb'}, "
                "or raise the memory of the service.",
            )
        is_full = self._full >= _LOOKS_AT_LIMIT
        if not is_full and not died and _BROKE.search(said):
            is_full = self._was_full or await self._is_full()
        if is_full or ((self._full or not died) and _NO_FORK.search(said)):
            return BuildFailed(
                f"process limit {limits.pids} reached {where}",
                hint=f"Let the build start fewer processes at once. {self._raise % 'pids'}.",
            )
        if _NO_SPACE.search(said):
            return BuildFailed(
                f"disk limit {limits.disk_mb} MB reached {where}",
                hint=f"Let the build write less. {self._raise % 'disk_mb'}.",
            )
        if died:
            return BuildFailed(f"the builder ended {where}", hint="Deploy again.")
        hint = "The lines above say why."
        if steps.failed is None or not steps.failed.place:
            hint += " If a base image cannot be had: look whether its registry can be reached."
        return BuildFailed(steps.reason(), hint=hint)

    async def _listen(self) -> None:
        async for event in self._container.events():
            if event == "oom":
                self._oom.set()

    async def _count(self) -> None:
        """End a build that has been at its limit of processes for a while: it will not recover."""
        while self._full < _LOOKS_AT_LIMIT:
            await asyncio.sleep(_LOOK_SECONDS)
            try:
                self._full = self._full + 1 if await self._is_full() else 0
            except HelvetiaError:
                continue
            self._was_full |= self._full > 0
        await self._container.kill()

    async def _is_full(self) -> bool:
        return await self._container.processes() >= self._limits.pids * _NEAR
