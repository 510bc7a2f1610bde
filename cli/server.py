"""Start and stop the halves of the platform in one process: control plane, worker, or both."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import hashlib
import json
import os
import signal
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from helvetia.kernel import accounts
from helvetia.kernel.errors import Conflict, HelvetiaError, PortTaken
from helvetia.kernel.models import Instance, Lease, Service, ServiceStatus
from helvetia.kernel.pipeline.lease import release_dead
from helvetia.kernel.pipeline.workspaces import collect_workspaces
from helvetia.kernel.platform import Platform, prepare_home
from helvetia.kernel.providers import plugin_call
from helvetia.kernel.settings import Settings

from .doorbell import LOG, RIGHTS, Doorbell
from .local_operator import local_token

if TYPE_CHECKING:
    from aiohttp import web

    from helvetia.kernel.worker import Worker

_SETUP_SECONDS = 30.0
_STOP_SECONDS = 10.0
_HEAD_START_SECONDS = 0.1
Say = Callable[[str], None]


class Server:
    """One process of the platform.

    Args:
        settings: validated settings.
        say: told in a few words what is being done, for people who wait.
        control_plane: serve API and pages.
        working: run deployments and repairs.
        exclusive: nobody else works on this data folder; what an earlier process of it held is
            free at once.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        say: Say,
        control_plane: bool = True,
        working: bool = True,
        exclusive: bool = False,
    ) -> None:
        self._say = say
        self._control_plane = control_plane
        self._working = working
        self._exclusive = exclusive
        self._settings = settings
        self.platform = Platform(settings)
        self.doorbell = Doorbell()
        self.worker: Worker | None = None
        self.first_run: str | None = None
        if exclusive:
            self.platform.worker = f"{self._prefix}{self.platform.worker}"

    @property
    def url(self) -> str:
        """Where the control plane answers."""
        host, port = self._settings.http
        return f"http://{f'[{host}]' if ':' in host else host}:{port}"

    @property
    def _prefix(self) -> str:
        return "up-" + hashlib.sha256(str(self._settings.home).encode()).hexdigest()[:10] + ":"

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Start everything, yield while it runs, stop it. Instances and the proxy go on.

        Raises:
            PortTaken: an address belongs to another program.
            HelvetiaError: something else keeps the platform from starting.
        """
        if self._control_plane:
            refuse_taken(self._settings.http, "HELVETIA_HTTP", "the control plane")
        prepare_home(self._settings.home)
        async with contextlib.AsyncExitStack() as stack:
            stack.enter_context(_lock(self._settings.home, exclusive=self._exclusive))
            stack.push_async_callback(self.platform.close)
            await self.platform.open()
            if self._working and not self._exclusive:
                from .machines import refuse_second_machine

                await refuse_second_machine(self.platform)
            await collect_workspaces(self.platform)
            if self._exclusive:
                await release_dead(self._prefix)
                await Lease.filter(owner__startswith=self._prefix).delete()
                # Known again as soon as the reconciler has looked; never assumed.
                await Service.filter(status=ServiceStatus.ACTIVE).update(
                    status=ServiceStatus.IDLE, status_reason="not looked at since the start"
                )
            if broker := self.platform.providers.brokers.preferred():
                self.doorbell = Doorbell(broker.provider)
                self.platform.hub.relay = lambda log: self.doorbell.tell(f"{LOG} {log}")
                stack.push_async_callback(self.doorbell.stop)
            if self._working:
                self._say("starting providers")
                stack.push_async_callback(self.platform.providers.close, _STOP_SECONDS)
            setup = asyncio.ensure_future(self._setup())
            _, app = await asyncio.gather(setup, self._load(setup))
            stack.push_async_callback(self._stop_working)
            if self._working or self._control_plane:
                await self.doorbell.start(
                    told=self._told, rung=self._rung if self._working else None
                )
            # Answers first, work next: it finds by itself what was asked for meanwhile.
            if app is not None:
                await self._serve(app, stack)
            if self._working:
                await self._work()
            yield

    async def _setup(self) -> None:
        providers = self.platform.providers
        if self._working:
            await providers.setup(_SETUP_SECONDS)
        elif self._control_plane:
            # Signing in needs them; the proxy is the workers' business.
            for entry in providers.auth.all():
                async with plugin_call(entry.plugin, f"{entry.name}.setup", _SETUP_SECONDS):
                    await entry.provider.setup()
            # For commands of people; where no engine can be reached there are none.
            await self._set_up_runtimes()

    async def _load(self, setup: asyncio.Future[None]) -> web.Application | None:
        """Load what is needed last, while the providers start, above all the proxy."""
        if not self._control_plane:
            return None
        await asyncio.to_thread(import_module, "helvetia.kernel.http.app")
        # The proxy starts in a process of its own: it gets to that before all here is held up.
        await asyncio.wait([setup], timeout=_HEAD_START_SECONDS)
        from helvetia.kernel.http.app import make_app
        from helvetia.plugins.api import rights

        rights.relay = lambda: self.doorbell.tell(RIGHTS)
        return make_app(self.platform, self._ring, self._wake)

    async def _work(self) -> None:
        await asyncio.to_thread(import_module, "helvetia.kernel.worker")
        from helvetia.kernel.worker import Worker

        self.worker = Worker(self.platform, self.doorbell.tell)
        await self.worker.start()

    async def _stop_working(self) -> None:
        if self.worker is not None:
            await self.worker.stop()

    async def _serve(self, app: web.Application, stack: contextlib.AsyncExitStack) -> None:
        from aiohttp.web import TCPSite

        from helvetia.kernel.http.app import make_runner

        runner = make_runner(app)
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        # Before anybody can ask: the token of the process before this one is void from here on.
        await self._write_control_file(stack)
        host, port = self._settings.http
        try:
            await TCPSite(runner, host, port).start()
        except OSError as error:
            raise _taken((host, port), "HELVETIA_HTTP", "the control plane") from error
        self.first_run = await self._first_run()

    async def _ring(self, deployment_id: str) -> None:
        if self.worker is not None:
            # It is queued, whatever happens here: the reaper finds it.
            with contextlib.suppress(Exception):
                await self.worker.ring(deployment_id)
        else:
            self.doorbell.ring(deployment_id)

    async def _rung(self, deployment_id: str) -> None:
        if self.worker is not None:
            await self.worker.ring(deployment_id)

    def _wake(self) -> None:
        if self.worker is not None:
            self.worker.wake()
        elif not self._working:
            from helvetia.kernel.worker import CHANGED

            self.doorbell.tell(CHANGED)

    def _told(self, news: str) -> None:
        word, _, rest = news.partition(" ")
        if word == LOG:
            self.platform.hub.wake(rest)
        elif word == RIGHTS:
            if self._control_plane:
                from helvetia.plugins.api import rights

                rights.look()
        elif self.worker is not None:
            self.worker.hear(word)

    async def _write_control_file(self, stack: contextlib.AsyncExitStack) -> None:
        """Leave the address and a token where the command line of this user finds them."""
        path = self._settings.home / "control.json"
        temporary = path.with_suffix(f".{os.getpid()}")
        token = await local_token()
        descriptor = os.open(temporary, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            json.dump({"url": self.url, "token": token, "pid": os.getpid()}, file)
        temporary.replace(path)
        stack.callback(path.unlink, missing_ok=True)

    async def _first_run(self) -> str | None:
        if await accounts.has_operator():
            return None
        for entry in self.platform.providers.auth.all():
            async with plugin_call(entry.plugin, f"{entry.name}.first_run", _STOP_SECONDS):
                path = await entry.provider.first_run()
            if path:
                return self.url + path
        return None

    async def shut_down(self) -> None:
        """Stop what outlives the platform: every instance, then the proxy."""
        platform = self.platform
        if self.worker is not None:
            await self.worker.stop()
        elif not self._working:
            # Only to stop what they run; setting up a router would start its proxy.
            await self._set_up_runtimes()
        await asyncio.gather(*(self._stop_instance(row) for row in await Instance.all()))
        for family in platform.providers.families:
            for entry in family.all():
                with contextlib.suppress(HelvetiaError):
                    async with plugin_call(entry.plugin, f"{entry.name}.shutdown", 30):
                        await entry.provider.shutdown()

    async def _set_up_runtimes(self) -> None:
        for runtime in self.platform.providers.runtimes.all():
            with contextlib.suppress(HelvetiaError):
                async with plugin_call(runtime.plugin, f"{runtime.name}.setup", _SETUP_SECONDS):
                    await runtime.provider.setup()

    async def _stop_instance(self, row: Instance) -> None:
        with contextlib.suppress(HelvetiaError):
            runtime = self.platform.providers.runtimes.get(row.runtime)
            async with plugin_call(runtime.plugin, f"{runtime.name}.stop", 60):
                await runtime.provider.stop(row.id, 5)


def hear_signals() -> asyncio.Future[signal.Signals]:
    """Begin to listen for the wish that the process ends; a second signal kills it at once."""
    loop = asyncio.get_running_loop()
    got: asyncio.Future[signal.Signals] = loop.create_future()

    def heard(number: signal.Signals) -> None:
        if got.done():
            os._exit(128 + number)
        got.set_result(number)

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, heard, number)
    return got


def refuse_taken(address: tuple[str, int], variable: str, what: str) -> None:
    """Raise PortTaken if somebody listens on the address."""
    host, port = address
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise _taken(address, variable, what, error) from error


def _taken(
    address: tuple[str, int], variable: str, what: str, error: OSError | None = None
) -> HelvetiaError:
    host, port = address
    if error is not None and error.errno != errno.EADDRINUSE:
        return HelvetiaError(f"{what} cannot listen on {host}:{port}: {error.strerror}")
    return PortTaken(
        f"{host}:{port} is taken by another program; {what} cannot start",
        hint=f"end that program, or choose another address: {variable}=127.0.0.1:{port + 10}",
    )


@contextlib.contextmanager
def _lock(home: Path, *, exclusive: bool) -> Iterator[None]:
    """Have the data folder alone, or share it with others that do."""
    with (home / "lock").open("a+") as file:
        try:
            mode = fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH
            fcntl.flock(file, mode | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            raise Conflict(
                f"Helvetia is running on {home} already (process {file.read().strip() or '?'})",
                hint="use that one, end it, or set HELVETIA_HOME to another folder",
            ) from None
        file.seek(0)
        file.truncate()
        file.write(str(os.getpid()))
        file.flush()
        yield
