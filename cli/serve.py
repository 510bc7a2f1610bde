"""The commands that are the platform: `up`, `down`, `web`, `worker`, `migrate`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .running import PLATFORM

if TYPE_CHECKING:
    import asyncio
    import signal
    from typing import TypeAlias

    from helvetia.cli.server import Server
    from helvetia.kernel.providers import Family, Providers
    from helvetia.kernel.settings import Settings

    from .output import Output

    Ending: TypeAlias = asyncio.Future[signal.Signals]

app = typer.Typer()

_UP_EXAMPLES = """Addresses and folders are set by the environment:

  HELVETIA_HOME    data folder (default: helvetia in the user's data folder)
  HELVETIA_HTTP    address of the control plane (default 127.0.0.1:8700)
  HELVETIA_EDGE    address on which services are reached (default 127.0.0.1:8780)
  HELVETIA_DOMAIN  base domain (default localhost: service web is web.localhost:8780)

Ctrl-C stops the platform and all services; the next `helvetia up` brings them back.
SIGTERM stops the control plane only: services go on and are adopted again."""

Deploy = Annotated[
    Path | None,
    typer.Option("--deploy", metavar="FOLDER", help="Deploy this when nothing is deployed yet."),
]


@app.command(rich_help_panel=PLATFORM, epilog=_UP_EXAMPLES)
def up(deploy: Deploy = None) -> None:
    """Run the whole platform on this machine until Ctrl-C."""

    async def body(server: Server, out: Output, ending: Ending) -> None:
        import signal

        await _unless(ending, _begin(server, out, deploy))
        if await ending is signal.SIGINT:
            out.note("\nStopping the services; `helvetia up` brings them back.")
            await server.shut_down()
        else:
            out.note("The control plane stops; services go on. `helvetia down` stops them.")

    _run(body, exclusive=True)


@app.command(rich_help_panel=PLATFORM)
def down() -> None:
    """Stop all services and the proxy that an earlier `helvetia up` left running."""
    from helvetia.kernel.settings import default_home

    from .output import Output

    async def body(server: Server, out: Output, ending: Ending) -> None:
        await server.shut_down()
        out.done("stopped")

    if not default_home().exists():
        Output().done(f"there is nothing to stop: {default_home()} does not exist")
        return
    _run(body, control_plane=False, working=False, exclusive=True)


@app.command(rich_help_panel=PLATFORM)
def web() -> None:
    """Run the control plane only: API, dashboard, webhooks. Workers run elsewhere."""

    async def body(server: Server, out: Output, ending: Ending) -> None:
        out.note(("control plane ", "dim"), server.url)
        _tell_first_run(server, out)
        await ending

    _run(body, working=False)


@app.command(rich_help_panel=PLATFORM)
def worker() -> None:
    """Run a worker only: deployments, repairs, logs."""

    async def body(server: Server, out: Output, ending: Ending) -> None:
        out.note(("worker ", "dim"), server.platform.worker)
        await ending

    _run(body, control_plane=False)


@app.command(rich_help_panel=PLATFORM)
def migrate() -> None:
    """Bring the tables of the database up to date; safe to repeat."""
    import asyncio

    from helvetia.kernel.platform import Platform, prepare_home

    from .output import Output

    settings = _settings()

    async def whole() -> None:
        prepare_home(settings.home)
        await Platform(settings).database.migrate()

    asyncio.run(whole())
    Output().done("the database is up to date")


def _settings() -> Settings:
    from helvetia.kernel.settings import Settings, default_home

    return Settings(default_home())


def _run(
    body: Callable[[Server, Output, Ending], Awaitable[None]],
    *,
    control_plane: bool = True,
    working: bool = True,
    exclusive: bool = False,
) -> None:
    import asyncio
    import gc
    import logging
    from importlib import import_module
    from threading import Thread

    # Reads the certificates of this machine, which takes a while: all else is loaded meanwhile.
    Thread(target=import_module, args=("aiohttp.web",)).start()
    from helvetia.cli.server import Server, hear_signals

    from .output import Output

    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    out = Output()
    server = Server(
        _settings(),
        say=lambda text: out.note((f"  {text}", "dim")),
        control_plane=control_plane,
        working=working,
        exclusive=exclusive,
    )

    async def whole() -> None:
        # Before the start: what it leaves running must be ended as properly as later.
        ending = hear_signals()
        async with server.running():
            # What was loaded stays for good: it need not be looked through again and again.
            gc.freeze()
            gc.enable()
            await body(server, out, ending)

    asyncio.run(whole())


async def _unless(ending: Ending, work: Coroutine[None, None, None]) -> None:
    """Do the work, but break it off when somebody asks the process to end."""
    import asyncio

    task = asyncio.create_task(work)
    both: tuple[asyncio.Future[Any], ...] = (task, ending)
    await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
    if not task.done():
        task.cancel()
    await asyncio.wait([task])
    if not task.cancelled():
        task.result()


async def _begin(server: Server, out: Output, deploy: Path | None) -> None:
    await _welcome(server, out)
    if deploy is not None:
        await _deploy_first(server, out, deploy)
    out.note("Press Ctrl-C to stop.")


async def _welcome(server: Server, out: Output) -> None:
    from helvetia.kernel.models import Desired, Service
    from helvetia.version import __version__

    platform = server.platform
    host, port = platform.edge
    out.note((f"Helvetia {__version__}", "bold"), (f"  data in {platform.home}", "dim"))
    out.note("  dashboard and API  ", server.url)
    out.note("  services           ", f"http://<name>.{platform.domain}:{port}", f"  (on {host})")
    if server.worker is not None:
        await _tell_providers(server.platform.providers, out)
    for plugin in platform.plugins:
        if plugin.status == "quarantined":
            out.warn(f"plugin {plugin.name} is quarantined: {plugin.reason}")
    _tell_first_run(server, out)
    if await Service.filter(desired=Desired.RUNNING).exclude(live_release_id=None).exists():
        await _wait_for_services(out, f"{platform.domain}:{port}")


def _tell_first_run(server: Server, out: Output) -> None:
    if server.first_run:
        out.note("  first sign-in      ", server.first_run, ("  (once, within an hour)", "dim"))


async def _tell_providers(providers: Providers, out: Output) -> None:
    """Say what services are built with, kept in and run on, and what is not there for that."""
    import re

    families: tuple[tuple[str, Family[Any]], ...] = (
        ("builds with", providers.builders),
        ("keeps builds in", providers.registries),
    )
    for title, family in families:
        usable = [one.name for one in family.all() if (await family.check(one)).ok]
        out.note(f"  {title:<17}  ", ", ".join(usable) or "nothing")
    checks = [(one.name, await providers.runtimes.check(one)) for one in providers.runtimes.all()]
    # The rest of a reason is for `doctor`.
    used = [f"{name} ({re.split('[,;]', check.reason)[0]})" for name, check in checks if check.ok]
    unused = "".join(f"; not {name}: {check.reason}" for name, check in checks if not check.ok)
    out.note("  runs services on   ", ", ".join(used) or "nothing", (unused, "dim"))


async def _wait_for_services(out: Output, edge: str) -> None:
    """Say which services are back; each is observed, not assumed."""
    import asyncio
    import time

    from helvetia.kernel.models import Desired, Service, ServiceStatus

    began = time.monotonic()
    told: set[str] = set()
    settled = (ServiceStatus.ACTIVE, ServiceStatus.FAILED)
    with out.working("bringing services back") as working:
        while time.monotonic() - began < _PATIENCE_SECONDS:
            query = Service.filter(desired=Desired.RUNNING).exclude(live_release_id=None)
            waiting = [s for s in await query if s.id not in told]
            if not waiting:
                return
            for service in waiting:
                if service.status in settled:
                    told.add(service.id)
                    reason = f"  {service.status_reason}" if service.status_reason else ""
                    url = f"http://{service.name}.{edge}"
                    out.note(f"  {service.name:<18} {service.status.value}  {url}{reason}")
            working(f"bringing back {', '.join(s.name for s in waiting)}")
            await asyncio.sleep(0.2)


_PATIENCE_SECONDS = 60.0


async def _deploy_first(server: Server, out: Output, folder: Path) -> None:
    """Deploy a folder the way a person would, unless there is a service already."""
    import asyncio
    import sys

    from helvetia.kernel.models import Service

    if await Service.all().exists():
        return
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "helvetia.cli", "deploy", "--", str(folder)
    )
    try:
        if await process.wait():
            out.warn(f"{folder} was not deployed")
    finally:
        if process.returncode is None:
            process.terminate()
