"""What the reconciler does about a difference: restore, stop or delete one service."""

from __future__ import annotations

import asyncio
import logging
import shutil
from dataclasses import dataclass

from . import events
from .contracts.router import Backend, Route, Router
from .contracts.runtime import Observation
from .errors import HelvetiaError
from .failpoints import failpoint
from .models import (
    Deployment,
    DeploymentStatus,
    Desired,
    Instance,
    InstanceStatus,
    Release,
    Service,
    ServiceStatus,
)
from .pipeline.instances import (
    ENDED,
    drain,
    remove_instance,
    retire_route,
    running,
    start_again,
    switch_route,
)
from .pipeline.lease import ServiceLease
from .pipeline.probe import Prober
from .pipeline.specs import health_check
from .platform import Platform
from .providers import Entry, plugin_call

_LOOK_SECONDS = 0.5
_log = logging.getLogger(__name__)


class BrokenOff(Exception):
    """A repair makes way for what somebody has asked for meanwhile."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """What a look at one service showed.

    Attributes:
        live: instances of the live release, as the database has them.
        left: instances that nobody needs: of a finished rollover or a dead deployment.
        seen: what the runtime says of the live ones.
        doubted: the last repair did not find the live ones healthy.
    """

    service: Service
    live: list[Instance]
    left: list[Instance]
    seen: dict[str, Observation]
    route: Route | None
    doubted: bool = False

    @property
    def backends(self) -> tuple[Backend, ...]:
        """Where the route leads."""
        return self.route.backends if self.route else ()


async def restore(
    platform: Platform, lease: ServiceLease, found: Findings, router: Entry[Router]
) -> None:
    """Bring the live release back: its instances, then its route, then clean up what is left."""
    service = found.service
    release = await Release.get(id=service.live_release_id)
    rows = [row for row in found.live if row.release_id == release.id]
    if not rows:
        async with lease.fenced():
            row, _ = await Instance.get_or_create(
                id=f"{release.id}-{service.generation}",
                defaults={
                    "service_id": service.id,
                    "release_id": release.id,
                    "runtime": release.providers["runtime"],
                    "status": InstanceStatus.LIVE,
                },
            )
        rows = [row]
    for row in rows:
        seen = found.seen.get(row.id)
        if seen is None or seen.status in ENDED:
            await start_again(platform, lease, row)
        elif not found.doubted:
            continue
        await _probe(platform, row, service=service, release=release)
    failpoint("restore:started")
    await switch_route(platform, lease, router, rows)
    failpoint("restore:switched")
    left = found.left + [row for row in found.live if row not in rows]
    addresses = {(backend.host, backend.port) for backend in found.backends}
    if had_traffic := [row for row in left if (row.host, row.port) in addresses]:
        await drain(platform, had_traffic, platform.options.drain_seconds)
    for row in left:
        await remove_instance(platform, lease, row)
    async with lease.fenced():
        await Service.filter(id=service.id).update(status=ServiceStatus.ACTIVE, status_reason="")


async def _probe(platform: Platform, row: Instance, *, service: Service, release: Release) -> None:
    """Wait until a restored instance is healthy, or until somebody wants something else.

    Raises:
        BrokenOff: the service is to be deployed, stopped or deleted.
        NeverHealthy: it is not healthy in time.
    """
    runtime = platform.providers.runtimes.get(row.runtime)
    name = f"{service.name}.{platform.domain}"
    prober = Prober(
        runtime, running(row), check=health_check(release), hostname=name, what="the live version"
    )
    waiting = asyncio.create_task(prober.wait())
    try:
        while not (await asyncio.wait([waiting], timeout=_LOOK_SECONDS))[0]:
            queued = Deployment.filter(service_id=service.id, status=DeploymentStatus.QUEUED)
            wanted = Service.filter(id=service.id, desired=Desired.RUNNING)
            if await queued.exists() or not await wanted.exists():
                raise BrokenOff
        waiting.result()
    finally:
        waiting.cancel()


async def stop(
    platform: Platform, lease: ServiceLease, found: Findings, router: Entry[Router]
) -> None:
    """Take the route away, then stop every instance."""
    service = found.service
    await retire_route(platform, router, service.id)
    failpoint("stop:retired")
    removals = [remove_instance(platform, lease, row) for row in found.live + found.left]
    for result in await asyncio.gather(*removals, return_exceptions=True):
        if isinstance(result, BaseException):
            raise result
    failpoint("stop:stopped")
    if service.desired is Desired.DELETED:
        return
    async with lease.fenced():
        await Service.filter(id=service.id).update(status=ServiceStatus.STOPPED, status_reason="")
        await events.record("service.stopped", team_id=service.team_id, service_id=service.id)


async def delete(
    platform: Platform, lease: ServiceLease, found: Findings, router: Entry[Router]
) -> None:
    """Stop the service, delete its artifacts and logs, and at last its rows."""
    service = found.service
    await stop(platform, lease, found, router)
    for registry in platform.providers.registries.all():
        async with plugin_call(registry.plugin, f"{registry.name}.delete", 60):
            for digest in await registry.provider.list(service.id):
                await registry.provider.delete(service.id, digest)
    failpoint("delete:artifacts")
    cache = platform.folder("cache") / service.id
    await asyncio.to_thread(shutil.rmtree, cache, ignore_errors=True)
    for deployment in await Deployment.filter(service_id=service.id).only("id"):
        await platform.logs.delete(f"deployment:{deployment.id}")
    await platform.logs.delete(f"service:{service.id}")
    failpoint("delete:logs")
    async with lease.fenced():
        await events.record(
            "service.deleted", team_id=service.team_id, service_id=service.id, name=service.name
        )
        await Service.filter(id=service.id).delete()


async def collect_orphans(
    platform: Platform, router: Entry[Router], routes: dict[str, Route]
) -> None:
    """Remove instances and routes of this installation that no row speaks of."""
    known = await _instance_ids()
    for runtime in platform.providers.runtimes.all():
        try:
            async with plugin_call(runtime.plugin, f"{runtime.name}.list", 30):
                running_now = await runtime.provider.list()
            # Asked again: a row is written before its instance starts, but after the first look.
            known |= await _instance_ids()
            for instance in running_now:
                if instance.id not in known:
                    _log.warning("orphan instance %s is removed", instance.id)
                    async with plugin_call(runtime.plugin, f"{runtime.name}.remove", 60):
                        await runtime.provider.stop(instance.id, 5)
                        await runtime.provider.remove(instance.id)
        except HelvetiaError as error:
            _log.warning("%s", error)
    services = {service.id for service in await Service.all().only("id")}
    for service_id in set(routes) - services:
        _log.warning("route of unknown service %s is removed", service_id)
        async with plugin_call(router.plugin, f"{router.name}.retire", 30):
            await router.provider.retire(service_id)


async def _instance_ids() -> set[str]:
    return {row.id for row in await Instance.all().only("id")}


async def remove_left(
    platform: Platform, lease: ServiceLease, found: Findings, router: Entry[Router]
) -> None:
    """Remove what a dead deployment left of a service that was never live."""
    await retire_route(platform, router, found.service.id)
    for row in found.live + found.left:
        await remove_instance(platform, lease, row)
