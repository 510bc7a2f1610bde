"""Traefik as a process of this machine, under a supervisor."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection

from helvetia.plugins.supervisor import Supervised, SupervisedSpec

from .binary import candidates, find_binary, stamp
from .managed import Ended, Managed, Program
from .wanted import Wanted

_STOP_SECONDS = 8.0
_LOG_BYTES = 1024 * 1024
# While it is away every service is.
_PAUSES = (0.05, 1.0)
_LOG_PAGE = 1000


class TraefikChild(Managed):
    """The one Traefik of an installation, whichever process of the platform started it."""

    name = "process"

    def __init__(self, wanted: Wanted, former: Callable[[str], Managed | None]) -> None:
        super().__init__(wanted, former)
        self._owner = f"router:traefik:{wanted.installation}"
        self._supervised = Supervised(wanted.layout.process)

    async def programs(self) -> list[Program]:
        """Return the binaries that may be it."""
        found = candidates(self._wanted.settings.binary)
        return [Program(what=str(one), title=str(one), stamp=stamp(one)) for one in found]

    async def choose(self) -> Program:
        """Return the binary that is new enough."""
        binary = await find_binary(self._wanted.settings.binary, self._layout.versions)
        return Program(
            what=str(binary.path),
            title=f"Traefik {binary.version} ({binary.path})",
            stamp=stamp(binary.path),
        )

    async def pids(self) -> Collection[int]:
        """Return its process and its supervisor's."""
        return await asyncio.to_thread(self._supervised.pids)

    async def begin(self, program: Program) -> None:
        """Start it under a supervisor."""
        await self._supervised.remove()
        await self._supervised.start(
            SupervisedSpec(
                argv=[program.what, f"--configFile={self._layout.static}"],
                cwd=self._layout.folder,
                # Nothing of ours: a proxy variable would send the apps' traffic to it.
                environment={},
                owner=self._owner,
                log_bytes=_LOG_BYTES,
                pauses=_PAUSES,
            )
        )

    async def end(self) -> None:
        """Stop it and its supervisor."""
        await self._supervised.stop(_STOP_SECONDS)
        await self._supervised.remove()

    async def is_running(self) -> bool:
        """Ask its supervisor."""
        return (await self._supervised.state()).status in ("running", "restarting", "crash-loop")

    async def require_alive(self) -> None:
        """Make sure that it did not end."""
        state = await self._supervised.state()
        if state.status != "running" or state.restarts:
            raise Ended(await self.tail() or state.reason)

    async def log(self) -> list[tuple[float, str]]:
        """Return what its supervisor kept."""
        lines: list[tuple[float, str]] = []
        cursor = ""
        while True:
            page = await self._supervised.logs(cursor, _LOG_PAGE)
            lines.extend((line.time, line.text) for line in page.lines)
            if len(page.lines) < _LOG_PAGE:
                return lines
            cursor = page.cursor
