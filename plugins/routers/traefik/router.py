"""The provider: activates, retires and lists routes."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from helvetia import (
    ActivationFailed,
    Check,
    HealthCheck,
    HelvetiaError,
    InstanceSpec,
    InvalidInput,
    Kernel,
    Meter,
    Route,
    Router,
    Traffic,
)

from . import config
from .api import NoAnswer, TraefikApi
from .discovery import Discovery, Found
from .entrance import INTERNAL
from .files import Layout, locked, read
from .forms import make_form
from .labels import ENABLE, instance_labels
from .names import check_id, service_name
from .routefile import RouteFile, cover, new_version
from .settings import TraefikSettings
from .wanted import Wanted

_UNDO_SECONDS = 2.0
_LEAST_CONFIRM_SECONDS = 2.0
_START_SECONDS = 3.0
_FIRST_PAUSE, _LONGEST_PAUSE = 0.002, 0.05


class TraefikRouter(Router):
    """Leads hostnames to instances with Traefik's file provider.

    The file of a service is the only truth about its route. It changes by one rename, and a
    change counts once Traefik's API shows it. What the file leads to are the services that
    Traefik found by the labels of containers, or else addresses.
    """

    name = "traefik"
    capabilities = frozenset({"traffic", "wildcards"})

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel
        self._settings = settings = kernel.section(TraefikSettings)
        folder = kernel.folder("traefik")
        if settings.run == "existing":
            mark = f"-{kernel.installation}"
            layout = Layout(folder, watched=Path(settings.folder).absolute(), mark=mark)
        else:
            layout = Layout(folder)
        self._layout = layout
        self._wanted = Wanted(
            layout=layout, settings=settings, edge=kernel.edge, installation=kernel.installation
        )
        engine = Discovery.of(kernel)
        self._discovery = engine if settings.discovery else None
        self._form = make_form(self._wanted, engine)
        self._api = TraefikApi()
        self._discovers = False
        self._is_set_up = False
        self._reviving = asyncio.Lock()

    async def setup(self) -> None:
        """Adopt the Traefik of this installation, or start it.

        Raises:
            PortTaken: an address of its own belongs to another program.
            HelvetiaError: a certificate is of no use, or there is no Traefik that is.
        """
        await asyncio.to_thread(self._wanted.load_certificates)
        await self._decide_discovery()
        await self._rewrite()
        await self._form.ensure(self._api)
        await self._await_routes()
        self._is_set_up = True

    async def close(self) -> None:
        """Let go of Traefik, which goes on serving."""
        self._is_set_up = False
        await self._api.close()

    async def shutdown(self) -> None:
        """End Traefik, for when the whole installation goes down."""
        await self.close()
        await self._form.shutdown()

    async def check(self) -> Check:
        """Say which Traefik is used, whether it runs, and what is wrong with certificates."""
        try:
            what = await self._form.describe()
            running = await self._form.is_running()
            if not self._is_set_up:
                await asyncio.to_thread(self._wanted.load_certificates)
        except HelvetiaError as problem:
            return Check(ok=False, reason=f"{problem.message}; {problem.hint}")
        where = config.address(*self._kernel.edge)
        if self._settings.https:
            where += f" and {self._settings.https}"
        state = f"running on {where}" if running else "not running"
        finds = "finds containers by labels" if self._discovers else ""
        told = [f"{what}, {state}", finds, *self._wanted.worries(self._kernel.domain)]
        return Check(ok=True, reason="; ".join(filter(None, told)))

    def labels(self, spec: InstanceSpec, health: HealthCheck) -> Mapping[str, str]:
        """Return what makes Traefik find a container."""
        is_shared = self._settings.run == "existing"
        if not self._discovers or spec.process != "web":
            # Where others' containers are exposed by default, ours must not be.
            return {ENABLE: "false"} if is_shared else {}
        return instance_labels(
            spec,
            health,
            entrance=self._wanted.entrance,
            entry_point=self._settings.entry_point if is_shared else INTERNAL,
            hostname=f"{spec.service_name}.{self._kernel.domain}",
            seconds=self._settings.health_seconds,
        )

    async def activate(self, route: Route) -> None:
        """Switch the service to the route; see the contract."""
        RouteFile(route=route).encode(
            self._wanted.entrance
        )  # refuses bad names before anything is touched
        if not route.backends:
            raise InvalidInput("backends", "a route needs at least one backend")
        await self._require_running()
        async with self._exclusive(route.service_id):
            await self._switch(route)

    async def retire(self, service_id: str, generation: int) -> None:
        """Take the service's route away; see the contract."""
        check_id("service", service_id)
        await self._require_running()
        async with self._exclusive(service_id):
            await self._refuse_older(service_id, generation)
            await asyncio.to_thread(self._layout.remember, service_id, generation)
            doubt = await self._take_away(service_id)
        await asyncio.to_thread(self._layout.sweep)
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

    async def meters(self) -> Mapping[tuple[str, str], Meter]:
        """Return the counters of all services; they begin again when Traefik does."""
        try:
            return await self._api.meters()
        except NoAnswer:
            return {}

    def url(self, hostname: str) -> str:
        """Return the address a person types to reach a hostname."""
        https = self._settings.https_address
        scheme, usual = ("https", 443) if https else ("http", 80)
        port = https[1] if https else self._kernel.edge[1]
        return f"{scheme}://{hostname}" if port == usual else f"{scheme}://{hostname}:{port}"

    async def _decide_discovery(self) -> None:
        """Find containers by labels where there is an engine. Once begun, it goes on while the
        engine is away: Traefik would have to be started anew.
        """
        if self._discovery is None:
            return
        begun = (await asyncio.to_thread(self._wanted.record)).get("docker")
        provider = self._discovery.provider
        use = begun == provider["endpoint"] or await self._discovery.usable()
        self._discovers = use and await self._form.finds_containers()
        self._wanted.docker = provider if self._discovers else None

    async def _await_routes(self) -> None:
        """Wait until Traefik has found what the routes lead to; it may have just been started."""
        deadline = time.monotonic() + _START_SECONDS
        for path in await asyncio.to_thread(self._layout.routes):
            known = await asyncio.to_thread(_read_file, path)
            if known and (left := deadline - time.monotonic()) > 0:
                bare = replace(known, checked=False)
                await _settled(partial(self._api.doubt_found, bare), left)

    async def _rewrite(self) -> None:
        """Write routes as they are written today, after a change of settings."""
        for path in await asyncio.to_thread(self._layout.routes):
            known = await asyncio.to_thread(_read_file, path)
            if known is None or self._layout.route(known.route.service_id) != path:
                continue
            async with self._exclusive(known.route.service_id):
                known = await asyncio.to_thread(_read_file, path)
                if known is None:
                    continue
                if not self._discovers:
                    known = replace(known, found=())
                text = known.encode(self._wanted.entrance)
                if await asyncio.to_thread(read, path) != text:
                    async with self._staged(text) as (ready,):
                        os.replace(ready, path)

    async def _switch(self, route: Route) -> None:
        path = self._layout.route(route.service_id)
        known = await self._refuse_older(route.service_id, route.generation)
        found = await self._find(route, known)
        if known and known.route == route and known.found == found.instances:
            # Written before, perhaps by somebody who did not live to see it confirmed.
            await self._confirm(known, since=time.time(), seconds=self._settings.confirm_seconds)
            return
        new = RouteFile(
            route=route,
            former=_former(known, route),
            found=found.instances,
            checked=found.checked,
        )
        began = time.monotonic()
        if new.found:
            await self._await_found(new)
        seconds = self._settings.confirm_seconds - (time.monotonic() - began)
        new = replace(new, version=new_version())
        later = new.version + 1
        back = replace(known, version=later) if known else None
        entrance = self._wanted.entrance
        undone = back.encode(entrance) if back else cover(route.service_id, later, entrance)
        async with self._staged(new.encode(entrance), undone) as (ready, undo):
            since = time.time()
            os.replace(ready, path)
            try:
                await self._confirm(new, since=since, seconds=max(seconds, _LEAST_CONFIRM_SECONDS))
            except BaseException:
                # Also when cancelled: whoever gives up must find the former route in force.
                os.replace(undo, path)
                if back:
                    await _settled(lambda: self._api.doubt(back, entrance), _UNDO_SECONDS)
                else:
                    await self._uncover(route.service_id, later, _UNDO_SECONDS)
                raise

    async def _find(self, route: Route, known: RouteFile | None) -> Found:
        if self._discovery is None or not self._discovers:
            return Found()
        return await self._discovery.find(route, known)

    async def _await_found(self, new: RouteFile) -> None:
        """Wait until Traefik has found the containers by their labels, and found them well.

        Each change of any route has it begin its checks anew, so that on a busy platform it may
        not get round to them; the platform's own probes have succeeded by then.
        """
        limit = self._settings.confirm_seconds
        patience = min(limit, 3 * self._settings.health_seconds + 1)
        doubt = await _settled(lambda: self._api.doubt_found(new), patience)
        if doubt:
            bare = replace(new, checked=False)
            doubt = await _settled(lambda: self._api.doubt_found(bare), limit - patience)
        if doubt:
            said = await self._form.errors_since(time.time() - limit)
            raise ActivationFailed(
                f"Traefik does not find the new version by its labels: {doubt}"
                + (f" ({said})" if said else ""),
                hint="nothing was switched; look whether Traefik reaches the Docker engine and "
                "the container, or set HELVETIA_TRAEFIK_DISCOVERY=0",
            )

    async def _refuse_older(self, service_id: str, generation: int) -> RouteFile | None:
        """Return the file in force, unless it or a retirement is newer than a generation."""
        known = await asyncio.to_thread(_read_file, self._layout.route(service_id))
        retired = await asyncio.to_thread(self._layout.retired, service_id)
        newest = max(retired, known.route.generation if known else 0)
        if newest > generation:
            raise ActivationFailed(
                "a newer deployment already switched this service "
                f"(generation {newest}, this one is {generation})"
            )
        return known

    async def _confirm(self, file: RouteFile, *, since: float, seconds: float) -> None:
        doubt = await _settled(lambda: self._api.doubt(file, self._wanted.entrance), seconds)
        if doubt:
            said = await self._form.errors_since(since)
            raise ActivationFailed(
                f"Traefik did not confirm the switch: {doubt}" + (f" ({said})" if said else ""),
                hint="nothing was switched; deploy again once Traefik is well",
            )

    async def _take_away(self, service_id: str) -> str:
        path, seconds = self._layout.route(service_id), self._settings.confirm_seconds
        if await asyncio.to_thread(read, path) is None:
            return await self._gone(service_id, seconds)
        version = new_version()
        try:
            async with self._staged(cover(service_id, version, self._wanted.entrance)) as (ready,):
                os.replace(ready, path)
        except ActivationFailed:
            # A full disk must not keep a route alive.
            path.unlink(missing_ok=True)
            return await self._gone(service_id, seconds)
        return await self._uncover(service_id, version, seconds)

    async def _uncover(self, service_id: str, version: int, seconds: float) -> str:
        router = self._wanted.entrance.router(service_id)
        try:
            await _settled(lambda: self._api.doubt_covered(router, version), seconds)
        finally:
            self._layout.route(service_id).unlink(missing_ok=True)
        return await self._gone(service_id, seconds)

    async def _gone(self, service_id: str, seconds: float) -> str:
        router = self._wanted.entrance.router(service_id)
        return await _settled(lambda: self._api.doubt_gone(router), seconds)

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
        for path in self._layout.routes():
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
            await asyncio.to_thread(self._wanted.renew_certificates)
            if await self._form.is_running():
                await self._form.refresh(self._api)
            else:
                await self._form.ensure(self._api)

    @contextlib.asynccontextmanager
    async def _exclusive(self, service_id: str) -> AsyncIterator[None]:
        async with contextlib.AsyncExitStack() as stack:
            try:
                lock = locked(self._layout.route_lock(service_id))
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
