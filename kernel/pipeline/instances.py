"""What is done to single instances and their route, by rollovers and repairs alike."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine, Iterable
from typing import Any, TypeVar

from tortoise.expressions import F

from helvetia.kernel import events
from helvetia.kernel.collecting import Collector
from helvetia.kernel.contracts.router import Backend, Route, Router
from helvetia.kernel.contracts.runtime import Instance as RunningInstance
from helvetia.kernel.contracts.runtime import InstanceSpec, Observation
from helvetia.kernel.contracts.runtime import InstanceStatus as Seen
from helvetia.kernel.domains import hostnames
from helvetia.kernel.failpoints import failpoint
from helvetia.kernel.models import Instance, InstanceStatus, Release, Service
from helvetia.kernel.platform import Platform
from helvetia.kernel.providers import Entry, plugin_call

from .lease import ServiceLease
from .specs import instance_spec

ENDED = (Seen.GONE, Seen.EXITED)
"""Nothing of such an instance runs, and nobody but the platform starts it again."""

Result = TypeVar("Result")
_QUIET_SECONDS = 1.0
"""A version is drained when it had no connection for so long: requests that the proxy had
already dispatched when it took the new route are on their way no longer."""


def running(row: Instance) -> RunningInstance:
    """Return an instance row as runtimes and probes know it."""
    return RunningInstance(
        id=row.id,
        service_id=row.service_id,
        release_id=row.release_id,
        host=row.host,
        port=row.port,
    )


async def at_once(works: Iterable[Coroutine[Any, Any, Result]]) -> list[Result]:
    """Do all of it at once; the first failure ends the rest before it is raised."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(work) for work in works]
    except BaseExceptionGroup as failures:
        raise failures.exceptions[0] from None
    return [task.result() for task in tasks]


async def observe(platform: Platform, row: Instance) -> Observation:
    """Ask the runtime what is true of an instance."""
    runtime = platform.providers.runtimes.get(row.runtime)
    async with plugin_call(runtime.plugin, f"{runtime.name}.observe", 10):
        return await runtime.provider.observe(row.id)


async def start(platform: Platform, lease: ServiceLease, row: Instance, spec: InstanceSpec) -> None:
    """Start an instance, or adopt the one that runs, and keep where it is to be reached."""
    runtime = platform.providers.runtimes.get(row.runtime)
    async with plugin_call(
        runtime.plugin, f"{runtime.name}.start", platform.options.stage_timeout_seconds
    ):
        instance = await runtime.provider.start(spec)
    await failpoint("start:started")
    row.host, row.port = instance.host, instance.port
    async with lease.fenced():
        await Instance.filter(id=row.id).update(host=row.host, port=row.port)


async def start_again(platform: Platform, lease: ServiceLease, row: Instance) -> None:
    """Start an instance that ended although it should run. It may take requests only later."""
    service = await Service.get(id=row.service_id)
    release = await Release.get(id=row.release_id)
    await start(platform, lease, row, await instance_spec(platform, service, release, row.id))
    async with lease.fenced():
        await events.record(
            "instance.restarted",
            team_id=service.team_id,
            service_id=service.id,
            release=str(release.number),
        )


async def revive(platform: Platform, lease: ServiceLease, router: Entry[Router] | None) -> int:
    """Start the live version again where it ended, before something that may take long.

    Whether it is healthy is not awaited: as long as others run, the route leads to those only.
    Without a router it stays as it is. Returns how many instances were started.
    """
    rows = await Instance.filter(service_id=lease.service_id, status=InstanceStatus.LIVE)
    ended = [row for row in rows if (await observe(platform, row)).status in ENDED]
    others = [row for row in rows if row not in ended]
    if router is not None and ended and others:
        await switch_route(platform, lease, router, others)
    before = {(row.host, row.port) for row in ended}
    for row in ended:
        await start_again(platform, lease, row)
    if router is not None and not others and {(row.host, row.port) for row in ended} != before:
        await switch_route(platform, lease, router, rows)
    return len(ended)


async def switch_route(
    platform: Platform, lease: ServiceLease, router: Entry[Router], rows: list[Instance]
) -> None:
    """Lead the service's hostnames to instances of one release, with a generation of its own."""
    service = await _next_generation(lease)
    await failpoint("activate:generation")
    route = Route(
        service_id=service.id,
        release_id=rows[0].release_id,
        hostnames=await hostnames(service, platform.domain),
        backends=tuple(_backend(row) for row in rows),
        generation=service.generation,
    )
    async with plugin_call(
        router.plugin, f"{router.name}.activate", platform.options.provider_timeout_seconds
    ):
        await router.provider.activate(route)
    await failpoint("activate:switched")


async def _next_generation(lease: ServiceLease) -> Service:
    async with lease.fenced():
        await Service.filter(id=lease.service_id).update(generation=F("generation") + 1)
        return await Service.get(id=lease.service_id)


async def retire_route(platform: Platform, lease: ServiceLease, router: Entry[Router]) -> None:
    """Take the service's route away, with a generation of its own."""
    service = await _next_generation(lease)
    await retire(platform, router, service.id, service.generation)


async def retire(
    platform: Platform, router: Entry[Router], service_id: str, generation: int
) -> None:
    """Take a route away, be there a service for it or not."""
    async with plugin_call(
        router.plugin, f"{router.name}.retire", platform.options.provider_timeout_seconds
    ):
        await router.provider.retire(service_id, generation)


async def routes_of(platform: Platform, router: Entry[Router]) -> dict[str, Route]:
    """Return the routes in force by service."""
    async with plugin_call(
        router.plugin, f"{router.name}.routes", platform.options.provider_timeout_seconds
    ):
        return {route.service_id: route for route in await router.provider.routes()}


async def lead_away(
    platform: Platform, lease: ServiceLease, router: Entry[Router], rows: list[Instance]
) -> None:
    """See to it that no route leads to instances that are about to be removed.

    There is one if a worker died between the switch of the route and its commit.
    """
    route = (await routes_of(platform, router)).get(lease.service_id)
    if route is None or not {_backend(row) for row in rows} & {*route.backends}:
        return
    if live := await Instance.filter(service_id=lease.service_id, status=InstanceStatus.LIVE):
        await switch_route(platform, lease, router, live)
        await drain(platform, rows, platform.options.drain_seconds)
    else:
        await retire_route(platform, lease, router)


async def drain(platform: Platform, rows: list[Instance], limit: float) -> int:
    """Wait until instances have no connection left; return how many there are at the limit."""
    began = quiet_since = time.monotonic()
    while True:
        open_now = 0
        for row in rows:
            runtime = platform.providers.runtimes.get(row.runtime)
            async with plugin_call(runtime.plugin, f"{runtime.name}.connections", 30):
                open_now += await runtime.provider.connections(row.id) or 0
        now = time.monotonic()
        if open_now:
            quiet_since = now
        if now - quiet_since >= min(_QUIET_SECONDS, limit):
            return 0
        if now - began >= limit:
            return open_now
        await asyncio.sleep(0.1)


async def stop(platform: Platform, lease: ServiceLease, row: Instance) -> None:
    """Stop an instance with the grace of its release; it can be started again."""
    runtime = platform.providers.runtimes.get(row.runtime)
    release = await Release.get(id=row.release_id)
    grace = float(release.configuration["stop_grace_seconds"])
    await lease.confirm()
    async with plugin_call(runtime.plugin, f"{runtime.name}.stop", grace + 30):
        await runtime.provider.stop(row.id, grace)


async def remove_instance(platform: Platform, lease: ServiceLease, row: Instance) -> None:
    """Stop an instance, remove what is left of it, and only then forget it."""
    await stop(platform, lease, row)
    await failpoint("remove:stopped")
    runtime = platform.providers.runtimes.get(row.runtime)
    await Collector(platform).rest(row)
    async with plugin_call(runtime.plugin, f"{runtime.name}.remove", 60):
        await runtime.provider.remove(row.id)
    await failpoint("remove:removed")
    async with lease.fenced():
        await Instance.filter(id=row.id).delete()


def _backend(row: Instance) -> Backend:
    return Backend(host=row.host, port=row.port)
