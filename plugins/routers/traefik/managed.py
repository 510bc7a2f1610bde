"""The Traefik that the platform runs: started once, adopted by every later control plane."""

from __future__ import annotations

import asyncio
import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass
from typing import ClassVar

from helvetia import HelvetiaError

from .api import TraefikApi
from .config import Identity
from .files import locked, read
from .ports import EDGE_HINT, HTTPS_HINT, require_free
from .wanted import Wanted

_START_SECONDS = 10.0
_ADOPT_SECONDS = 5.0
_ATTEMPTS = 3
_LAST_LINES = 5


class Ended(Exception):
    """Traefik ended instead of starting; the text says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """What is run.

    Attributes:
        what: for its form to run it.
        title: for people.
        stamp: another one when it is replaced.
    """

    what: str
    title: str
    stamp: str


class Form(ABC):
    """A way in which Traefik runs. Every process of the platform has one for the same Traefik."""

    name: ClassVar[str]

    @abstractmethod
    async def ensure(self, api: TraefikApi) -> None:
        """Lead `api` to the running Traefik; start it first if it does not run as it should.

        Raises:
            PortTaken: an address belongs to another program; nothing is left behind.
            HelvetiaError: there is none that can be used, or it does not start.
        """

    @abstractmethod
    async def refresh(self, api: TraefikApi) -> None:
        """Follow what other processes of the platform changed: the API may have moved."""

    @abstractmethod
    async def is_running(self) -> bool:
        """Tell whether Traefik runs or is about to come back."""

    @abstractmethod
    async def errors_since(self, moment: float) -> str:
        """Return what Traefik logged since then; empty if nothing is known."""

    @abstractmethod
    async def shutdown(self) -> None:
        """Stop Traefik if it is ours. Routes stay on disk for the next start."""

    async def finds_containers(self) -> bool:
        """Tell whether it can find containers by their labels."""
        return True

    @abstractmethod
    async def describe(self) -> str:
        """Say which Traefik it is.

        Raises:
            HelvetiaError: none can be used here; it says what is missing.
        """


class Managed(Form):
    """One that the platform starts, as the same program with the same files.

    Args:
        former: makes the form by its name in which the last one was started.
    """

    def __init__(self, wanted: Wanted, former: Callable[[str], Managed | None]) -> None:
        self._wanted = wanted
        self._layout = wanted.layout
        self._former = former

    # --- what a form does its own way ------------------------------------------------------

    @abstractmethod
    async def programs(self) -> list[Program]:
        """Return what may be run, the preferred one first, as far as it is known at once."""

    @abstractmethod
    async def choose(self) -> Program:
        """Return what is to be run.

        Raises:
            HelvetiaError: there is nothing.
        """

    @abstractmethod
    async def pids(self) -> Collection[int]:
        """Return the processes of the present one."""

    @abstractmethod
    async def begin(self, program: Program) -> None:
        """Start it; its configuration is in place."""

    @abstractmethod
    async def end(self) -> None:
        """Stop it and remove what is left of it."""

    @abstractmethod
    async def require_alive(self) -> None:
        """Make sure that it still is on its way up.

        Raises:
            Ended: it is not.
        """

    @abstractmethod
    async def log(self) -> list[tuple[float, str]]:
        """Return what it said last, by time."""

    # --- what all have in common -----------------------------------------------------------

    async def ensure(self, api: TraefikApi) -> None:
        """Adopt or start; see `Form`."""
        async with locked(self._layout.lock):
            await asyncio.to_thread(self._layout.sweep)
            former = await self._in_another_form()
            if former is None and await self._adopt(api):
                return
            program = await self.choose()
            # Asked before the old one ends: a wrong setting must not take the services down.
            present = former or self
            await asyncio.to_thread(self._require_free, await present.pids())
            await present.end()
            await self._start(program, api)

    async def shutdown(self) -> None:
        """Stop it; see `Form`."""
        async with locked(self._layout.lock):
            await self._clear()

    async def refresh(self, api: TraefikApi) -> None:
        """Follow changes; see `Form`."""
        await asyncio.to_thread(self._refresh, api)

    async def errors_since(self, moment: float) -> str:
        """Return its last words; see `Form`."""
        lines = [text for when, text in await self.log() if when >= moment]
        return "; ".join(lines[-_LAST_LINES:])

    async def describe(self) -> str:
        """Name it; see `Form`."""
        return (await self.choose()).title

    async def tail(self) -> str:
        """Return its last lines."""
        return "; ".join(text for _, text in (await self.log())[-_LAST_LINES:])

    async def _in_another_form(self) -> Managed | None:
        form = (await asyncio.to_thread(self._wanted.record)).get("form", self.name)
        return self._former(form) if form != self.name else None

    def _refresh(self, api: TraefikApi) -> None:
        if identity := self._wanted.identity():
            api.url = identity.url
            self._wanted.write_shared(identity)

    async def _adopt(self, api: TraefikApi) -> bool:
        identity = await asyncio.to_thread(self._wanted.identity)
        if identity is None or not await self.is_running():
            return False
        started = await asyncio.to_thread(read, self._layout.started)
        if started not in [self._fingerprint(one, identity) for one in await self.programs()]:
            return False
        await asyncio.to_thread(self._refresh, api)
        try:
            async with asyncio.timeout(_ADOPT_SECONDS):
                await until(api.ready)
        except TimeoutError:
            return False
        return True

    async def _start(self, program: Program, api: TraefikApi) -> None:
        for attempt in range(1, _ATTEMPTS + 1):
            await asyncio.to_thread(self._require_free)
            identity = await asyncio.to_thread(self._wanted.usable_identity)
            api.url = identity.url
            try:
                await self._attempt(program, identity, api)
                return
            except Ended as problem:
                # Somebody was faster: the edge is checked again, the API gets another port.
                if "address already in use" not in str(problem) or attempt == _ATTEMPTS:
                    raise HelvetiaError(f"Traefik does not start: {problem}") from problem

    async def _attempt(self, program: Program, identity: Identity, api: TraefikApi) -> None:
        try:
            started = self._fingerprint(program, identity)
            write = self._wanted.write
            await asyncio.to_thread(write, identity, form=self.name, started=started)
            await self.begin(program)
            async with asyncio.timeout(_START_SECONDS):
                await until(api.ready, watch=self.require_alive)
        except BaseException as problem:
            said = await self.tail() if isinstance(problem, TimeoutError) else ""
            await asyncio.shield(self._clear())
            if isinstance(problem, TimeoutError):
                raise Ended(f"no answer for {_START_SECONDS:g} s; {said}") from problem
            raise

    async def _clear(self) -> None:
        await self.end()
        for path in (self._layout.started, self._layout.static):
            path.unlink(missing_ok=True)

    def _require_free(self, ours: Collection[int] = ()) -> None:
        require_free(*self._wanted.edge, hint=EDGE_HINT, ours=ours)
        if https := self._wanted.settings.https_address:
            require_free(*https, hint=HTTPS_HINT, ours=ours)

    def _fingerprint(self, program: Program, identity: Identity) -> str:
        facts = [program.stamp, self._wanted.static(identity)]
        return hashlib.sha256(json.dumps(facts).encode()).hexdigest()


async def until(
    condition: Callable[[], Awaitable[bool]],
    watch: Callable[[], Awaitable[None]] | None = None,
) -> None:
    """Ask again and again until a condition is true."""
    pause = 0.005
    while not await condition():
        if watch is not None:
            await watch()
        await asyncio.sleep(pause)
        pause = min(pause * 1.5, 0.05)
