"""What the reconciler does about a difference: restore, stop or delete one service."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass

from . import events
from .contracts.router import Backend, Route, Router
from .contracts.runtime import InstanceStatus as Seen
from .contracts.runtime import Observation
from .database.rows import fetch
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
    at_once,
    drain,
    remove_instance,
    retire,
    retire_route,
    running,
    start_again,
    switch_route,
)
from .pipeline.lease import ServiceLease
from .pipeline.probe import Prober
from .pipeline.specs import health_check, instance_ids
from .platform import Platform
from .providers import Entry, plugin_call
from .tidying import forget, forget_cache, keepers

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
    """

    service: Service
    live: list[Instance]
    left: list[Instance]
    seen: dict[str, Observation]
    route: Route | None

    @property
    def has_ended(self) -> bool:
        """Whether a live instance must be started again."""
        return any(seen.status in ENDED for seen in self.seen.values())

    @property
    def doubted(self) -> bool:
        """Whether the live ones run, but what was last known of the service is a failure."""
        return self.service.status is ServiceStatus.FAILED and all(
            seen.status is Seen.RUNNING for seen in self.seen.values()
        )

    @property
    def usable(self) -> list[Instance]:
        """Where the route should lead to: what runs of the live ones; if nothing does, to all."""
        return [row for row in self.live if self.status(row) is Seen.RUNNING] or self.live

    def status(self, row: Instance) -> Seen:
        """Return what the runtime said of a live instance."""
        return self.seen[row.id].status if row.id in self.seen else Seen.GONE

    def is_routed(self, row: Instance) -> bool:
        """Tell whether the route leads to an instance."""
        backends = self.route.backends if self.route else ()
        return Backend(host=row.host, port=row.port) in backends

    def is_sick(self, row: Instance) -> bool:
        """Tell whether an instance must be found healthy before it gets requests."""
        if self.doubted or self.status(row) in ENDED:
            return True
        # The route leads to others of its kind: it was down a moment ago.
        away = not self.is_routed(row) and any(map(self.is_routed, self.live))
        return away and self.status(row) is Seen.RUNNING


async def restore(
    platform: Platform, lease: ServiceLease, found: Findings, router: Entry[Router]
) -> None:
    """Bring the live release back: its instances, then its route, then clean up what is left."""
    service = found.service
    release = await Release.get(id=service.live_release_id)
    rows = [row for row in found.live if row.release_id == release.id]
    if not rows:
        values = {"runtime": release.providers["runtime"], "status": InstanceStatus.LIVE}
        values |= {"service_id": service.id, "release_id": release.id}
        async with lease.fenced():
            for name in instance_ids(f"{release.id}-{service.generation}", release):
                row, _ = await Instance.get_or_create(id=name, defaults=values)
                rows.append(row)
    sick = [row for row in rows if found.is_sick(row)]
    serving = [row for row in rows if row in found.usable and row not in sick]
    if serving and any(found.is_routed(row) for row in rows if row not in serving):
        # Whoever is down gets no requests until it is healthy.
        await switch_route(platform, lease, router, serving)
    problems = await at_once(_heal(platform, lease, row, found, release) for row in sick)
    healed = [row for row, problem in zip(sick, problems, strict=True) if problem is None]
    told = [problem for problem in problems if problem is not None]
    if told and not serving and not healed:
        raise told[0]
    await failpoint("restore:started")
    await switch_route(platform, lease, router, (serving + healed) or rows)
    await failpoint("restore:switched")
    left = found.left + [row for row in found.live if row not in rows]
    if had_traffic := [row for row in left if found.is_routed(row)]:
        await drain(platform, had_traffic, platform.options.drain_seconds)
    for row in left:
        await remove_instance(platform, lease, row)
    reason = count_of(len(rows) - len(told), len(rows), told[0].message) if told else ""
    status = {"status": ServiceStatus.ACTIVE, "status_reason": reason[:1000]}
    async with lease.fenced():
        await Service.filter(id=service.id).update(**status)


def count_of(running: int, wanted: int, reason: str) -> str:
    """Say how many instances run, and why the others do not."""
    return f"{running} of {wanted} instances run: {reason}" if wanted > 1 else reason


async def _heal(
    platform: Platform, lease: ServiceLease, row: Instance, found: Findings, release: Release
) -> HelvetiaError | None:
    """Start an instance if it ended, and wait until it is healthy; return why it is not."""
    try:
        if found.status(row) in ENDED:
            await start_again(platform, lease, row)
        await _probe(platform, row, service=found.service, release=release)
    except HelvetiaError as error:
        return error
    return None


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
    await retire_route(platform, lease, router)
    await failpoint("stop:retired")
    removals = [remove_instance(platform, lease, row) for row in found.live + found.left]
    for result in await asyncio.gather(*removals, return_exceptions=True):
        if isinstance(result, BaseException):
            raise result
    await failpoint("stop:stopped")
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
    for registry in await keepers(platform, service.id):
        async with plugin_call(registry.plugin, f"{registry.name}.delete", 60):
            for digest in await registry.provider.list(service.id):
                await registry.provider.delete(service.id, digest)
    await forget(platform, service.id, None)
    await failpoint("delete:artifacts")
    await forget_cache(platform, service.id)
    for deployment in await Deployment.filter(service_id=service.id).only("id"):
        await platform.logs.delete(f"deployment:{deployment.id}")
    await platform.logs.delete(f"service:{service.id}")
    await failpoint("delete:logs")
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
        if not (await platform.providers.runtimes.check(runtime)).ok:
            continue
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
    services = {row["id"] for row in await fetch('SELECT "id" FROM "service"')}
    for service_id in set(routes) - services:
        _log.warning("route of unknown service %s is removed", service_id)
        await retire(platform, router, service_id, routes[service_id].generation)


async def _instance_ids() -> set[str]:
    return {row["id"] for row in await fetch('SELECT "id" FROM "instance"')}


async def remove_left(
    platform: Platform, lease: ServiceLease, found: Findings, router: Entry[Router]
) -> None:
    """Remove what a dead deployment left of a service that was never live."""
    await retire_route(platform, lease, router)
    for row in found.live + found.left:
        await remove_instance(platform, lease, row)
