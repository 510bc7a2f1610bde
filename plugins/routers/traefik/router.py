"""The provider: activates, retires and lists routes."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import replace
from pathlib import Path

from helvetia import (
    ActivationFailed,
    Check,
    HelvetiaError,
    InvalidInput,
    Kernel,
    Route,
    Router,
    Traffic,
)

from . import config
from .api import NoAnswer, TraefikApi
from .binary import find_binary
from .child import TraefikChild
from .config import RouteFile
from .files import Layout, locked, read
from .names import check_id, service_name
from .settings import TraefikSettings

_LOCK_SECONDS = 25.0
_UNDO_SECONDS = 2.0
_FIRST_PAUSE, _LONGEST_PAUSE = 0.002, 0.05


class TraefikRouter(Router):
    """Leads hostnames to instances with Traefik's file provider.

    The file of a service is the only truth about its route. It changes by one rename, and a
    change counts once Traefik's API shows it.
    """

    name = "traefik"
    capabilities = frozenset({"traffic"})

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel
        self._settings = kernel.section(TraefikSettings)
        self._layout = Layout(kernel.folder("traefik"))
        self._child = TraefikChild(
            layout=self._layout,
            settings=self._settings,
            edge=kernel.edge,
            owner=f"router:traefik:{kernel.installation}",
        )
        self._api = TraefikApi()
        self._is_set_up = False
        self._reviving = asyncio.Lock()

    async def setup(self) -> None:
        """Adopt the Traefik of this installation, or start it.

        Raises:
            PortTaken: the edge address belongs to another program.
        """
        await self._child.ensure(self._api)
        self._is_set_up = True

    async def close(self) -> None:
        """Let go of Traefik, which goes on serving."""
        self._is_set_up = False
        await self._api.close()

    async def shutdown(self) -> None:
        """End Traefik, for when the whole installation goes down."""
        await self.close()
        await self._child.shutdown()

    async def check(self) -> Check:
        """Say which Traefik is used and whether it runs."""
        try:
            binary = await find_binary(self._settings.binary)
        except HelvetiaError as problem:
            return Check(ok=False, reason=f"{problem.message}; {problem.hint}")
        where = config.address(*self._kernel.edge)
        state = f"running on {where}" if await self._child.is_running() else "not running"
        return Check(ok=True, reason=f"Traefik {binary.version} ({binary.path}), {state}")

    async def activate(self, route: Route) -> None:
        """Switch the service to the route; see the contract."""
        RouteFile(route=route).encode()  # refuses bad names before anything is touched
        if not route.backends:
            raise InvalidInput("backends", "a route needs at least one backend")
        await self._require_running()
        async with self._exclusive(route.service_id):
            await self._switch(route)

    async def retire(self, service_id: str) -> None:
        """Take the service's route away; see the contract."""
        check_id("service", service_id)
        await self._require_running()
        async with self._exclusive(service_id):
            doubt = await self._take_away(service_id)
        if doubt:
            raise ActivationFailed(f"Traefik did not confirm that the route is gone: {doubt}")

    async def routes(self) -> Sequence[Route]:
        """Return the routes of this installation, and see to it that Traefik is there for them."""
        if self._is_set_up:
            await self._require_running()
        return await asyncio.to_thread(self._read_routes)

    async def traffic(self, service_id: str, release_id: str) -> Traffic | None:
        """Return a release's counters; they begin again when Traefik does."""
        name = service_name(service_id, release_id)
        try:
            return await self._api.traffic(name)
        except NoAnswer:
            return None

    def url(self, hostname: str) -> str:
        """Return the address a person types to reach a hostname."""
        port = self._kernel.edge[1]
        return f"http://{hostname}" if port == 80 else f"http://{hostname}:{port}"

    async def _switch(self, route: Route) -> None:
        path = self._layout.route(route.service_id)
        known = await asyncio.to_thread(_read_file, path)
        if known and known.route.generation > route.generation:
            raise ActivationFailed(
                "a newer deployment already switched this service "
                f"(generation {known.route.generation}, this one is {route.generation})"
            )
        if known and known.route == route:
            # Written before, perhaps by somebody who did not live to see it confirmed.
            await self._confirm(known)
            return
        new = RouteFile(route=route, former=_former(known, route))
        later = new.version + 1
        back = replace(known, version=later) if known else None
        undone = back.encode() if back else config.cover(route.service_id, later)
        async with self._staged(new.encode(), undone) as (ready, undo):
            os.replace(ready, path)
            try:
                await self._confirm(new)
            except BaseException:
                # Also when cancelled: whoever gives up must find the former route in force.
                os.replace(undo, path)
                if back:
                    await _settled(lambda: self._api.doubt(back), _UNDO_SECONDS)
                else:
                    await self._uncover(route.service_id, later, _UNDO_SECONDS)
                raise

    async def _confirm(self, file: RouteFile) -> None:
        began = time.time()
        doubt = await _settled(lambda: self._api.doubt(file), self._settings.confirm_seconds)
        if doubt:
            said = await self._child.errors_since(began)
            raise ActivationFailed(
                f"Traefik did not confirm the switch: {doubt}" + (f" ({said})" if said else ""),
                hint="nothing was switched; deploy again once Traefik is well",
            )

    async def _take_away(self, service_id: str) -> str:
        path, seconds = self._layout.route(service_id), self._settings.confirm_seconds
        if await asyncio.to_thread(read, path) is None:
            return await _settled(lambda: self._api.doubt_gone(service_id), seconds)
        version = config.new_version()
        try:
            async with self._staged(config.cover(service_id, version)) as (ready,):
                os.replace(ready, path)
        except ActivationFailed:
            # A full disk must not keep a route alive.
            path.unlink(missing_ok=True)
            return await _settled(lambda: self._api.doubt_gone(service_id), seconds)
        return await self._uncover(service_id, version, seconds)

    async def _uncover(self, service_id: str, version: int, seconds: float) -> str:
        try:
            await _settled(lambda: self._api.doubt_covered(service_id, version), seconds)
        finally:
            self._layout.route(service_id).unlink(missing_ok=True)
        return await _settled(lambda: self._api.doubt_gone(service_id), seconds)

    @contextlib.asynccontextmanager
    async def _staged(self, *texts: str) -> AsyncIterator[list[Path]]:
        async with contextlib.AsyncExitStack() as stack:
            try:
                paths = await stack.enter_async_context(self._layout.staged(*texts))
            except OSError as error:
                reason = error.strerror or str(error)
                raise ActivationFailed(f"the route cannot be written: {reason}") from error
            yield paths

    def _read_routes(self) -> list[Route]:
        found = []
        for path in sorted(self._layout.dynamic.glob("*.yml")):
            file = _read_file(path)
            # A copy under another name is somebody's backup, not a route of ours.
            if file and self._layout.route(file.route.service_id) == path:
                found.append(file.route)
        return found

    async def _require_running(self) -> None:
        """See to it that Traefik runs: it is revived if even its supervisor is gone."""
        if not self._is_set_up:
            raise HelvetiaError("the router traefik is not set up")
        async with self._reviving:
            if await self._child.is_running():
                await self._child.refresh(self._api)
            else:
                await self._child.ensure(self._api)

    @contextlib.asynccontextmanager
    async def _exclusive(self, service_id: str) -> AsyncIterator[None]:
        async with contextlib.AsyncExitStack() as stack:
            try:
                lock = locked(self._layout.route_lock(service_id), _LOCK_SECONDS)
                await stack.enter_async_context(lock)
            except TimeoutError as error:
                raise ActivationFailed("another switch of this service does not end") from error
            yield


async def _settled(ask: Callable[[], Awaitable[str]], seconds: float) -> str:
    """Ask until there is no doubt left or time is up; return the last doubt."""
    deadline = time.monotonic() + seconds
    pause = _FIRST_PAUSE
    while (doubt := await ask()) and time.monotonic() < deadline:
        await asyncio.sleep(pause)
        pause = min(pause * 1.5, _LONGEST_PAUSE)
    return doubt


def _read_file(path: Path) -> RouteFile | None:
    text = read(path)
    return None if text is None else RouteFile.decode(text)


def _former(known: RouteFile | None, route: Route) -> str | None:
    if known is None:
        return None
    if known.route.release_id != route.release_id:
        return known.route.release_id
    return known.former
