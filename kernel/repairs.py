"""What the reconciler does about a difference: restore, stop or delete one service."""

from __future__ import annotations

import asyncio
import logging
import shutil
from dataclasses import dataclass

from . import events
from .contracts.router import Route, Router
from .contracts.runtime import InstanceStatus as Seen
from .contracts.runtime import Observation
from .errors import HelvetiaError
from .models import Deployment, Desired, Instance, InstanceStatus, Release, Service, ServiceStatus
from .pipeline.lease import ServiceLease
from .pipeline.probe import Prober
from .pipeline.rollover import remove_instance, running, switch_route
from .pipeline.specs import health_check, instance_spec
from .platform import Platform
from .providers import Entry, plugin_call

_ENDED = (Seen.GONE, Seen.EXITED)
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """What a look at one service showed.

    Attributes:
        live: instances of the live release, as the database has them.
        left: instances that nobody needs: of a finished rollover or a dead deployment.
        seen: what the runtime says of the live ones.
    """

    service: Service
    live: list[Instance]
    left: list[Instance]
    seen: dict[str, Observation]
    route: Route | None


async def restore(
    platform: Platform, lease: ServiceLease, found: Findings, router: Entry[Router]
) -> None:
    """Bring the live release back: its instances, then its route, then clean up what is left."""
    service = await Service.get(id=found.service.id)
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
        if seen is None or seen.status in _ENDED:
            await _start_again(platform, lease, row, service=service, release=release)
    await switch_route(platform, lease, router, rows)
    for row in found.left + [row for row in found.live if row not in rows]:
        await remove_instance(platform, lease, row)
    async with lease.fenced():
        await Service.filter(id=service.id).update(status=ServiceStatus.ACTIVE, status_reason="")


async def _start_again(
    platform: Platform, lease: ServiceLease, row: Instance, *, service: Service, release: Release
) -> None:
    runtime = platform.providers.runtimes.get(row.runtime)
    spec = await instance_spec(platform, service, release, row.id)
    async with plugin_call(
        runtime.plugin, f"{runtime.name}.start", platform.options.stage_timeout_seconds
    ):
        instance = await runtime.provider.start(spec)
    row.host, row.port = instance.host, instance.port
    async with lease.fenced():
        await Instance.filter(id=row.id).update(host=instance.host, port=instance.port)
        await events.record(
            "instance.restarted",
            team_id=service.team_id,
            service_id=service.id,
            release=str(release.number),
        )
    name = f"{service.name}.{platform.domain}"
    prober = Prober(runtime, running(row), check=health_check(release), hostname=name)
    await prober.wait()


async def stop(
    platform: Platform, lease: ServiceLease, found: Findings, router: Entry[Router]
) -> None:
    """Take the route away, then stop every instance."""
    service = found.service
    async with plugin_call(
        router.plugin, f"{router.name}.retire", platform.options.provider_timeout_seconds
    ):
        await router.provider.retire(service.id)
    await asyncio.gather(
        *(remove_instance(platform, lease, row) for row in found.live + found.left)
    )
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
    cache = platform.folder("cache") / service.id
    await asyncio.to_thread(shutil.rmtree, cache, ignore_errors=True)
    for deployment in await Deployment.filter(service_id=service.id).only("id"):
        await platform.logs.delete(f"deployment:{deployment.id}")
    await platform.logs.delete(f"service:{service.id}")
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
    """Remove instances that a dead deployment left of a service that was never live."""
    for row in found.live + found.left:
        await remove_instance(platform, lease, row)
