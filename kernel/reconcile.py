"""Compare what should be with what runtimes and routers show, and have it repaired.

The database says what should be. Nothing that does not carry this installation's labels is ever
touched. A service whose lease somebody holds is left to its holder.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence

from . import repairs
from .contracts.router import Route, Router
from .contracts.runtime import InstanceStatus as Seen
from .domains import hostnames
from .errors import HelvetiaError, NeverHealthy
from .models import (
    Deployment,
    DeploymentStatus,
    Desired,
    Instance,
    InstanceStatus,
    Service,
    ServiceStatus,
)
from .pipeline.instances import ENDED, observe
from .pipeline.lease import LeaseLost, ServiceLease, is_free
from .platform import Platform
from .providers import Entry, plugin_call
from .repairs import Findings

_OPEN = (DeploymentStatus.QUEUED, DeploymentStatus.RUNNING)
_Repair = Callable[[Platform, ServiceLease, Findings, Entry[Router]], Awaitable[None]]
_log = logging.getLogger(__name__)


class Reconciler:
    """Looks at all services and repairs them, each by a task of its own."""

    def __init__(self, platform: Platform) -> None:
        self._platform = platform
        self._repairs: dict[str, asyncio.Task[None]] = {}
        self._doubted: set[str] = set()

    async def once(self) -> None:
        """Look at everything once; repairs go on beside."""
        router = await self._platform.router()
        routes = {route.service_id: route for route in await self._routes(router)}
        deploying = {row.service_id for row in await Deployment.filter(status__in=_OPEN)}
        for service in await Service.filter(is_free(self._platform.options.lease_seconds)):
            if service.id in self._repairs:
                continue
            if service.id in deploying and service.desired is Desired.RUNNING:
                continue
            try:
                await self._look(service, routes.get(service.id), router)
            except HelvetiaError as error:
                _log.warning("service %s: %s", service.name, error)
        await repairs.collect_orphans(self._platform, router, routes)

    async def settled(self) -> None:
        """Wait for the repairs under way."""
        while self._repairs:
            await asyncio.wait(self._repairs.values())

    async def stop(self) -> None:
        """Interrupt the repairs under way; the next start goes on with them."""
        for task in self._repairs.values():
            task.cancel()
        await self.settled()

    async def _look(self, service: Service, route: Route | None, router: Entry[Router]) -> None:
        found = await self._find(service, route)
        if await self._needed(found) is not None:
            task = asyncio.create_task(self._repair(service, router))
            self._repairs[service.id] = task
        elif service.desired is Desired.RUNNING and service.live_release_id is not None:
            await self._report(found)

    async def _find(self, service: Service, route: Route | None) -> Findings:
        rows = await Instance.filter(service_id=service.id)
        live = [row for row in rows if row.status is InstanceStatus.LIVE]
        return Findings(
            service=service,
            live=live,
            left=[row for row in rows if row.status is not InstanceStatus.LIVE],
            seen={row.id: await observe(self._platform, row) for row in live},
            route=route,
            doubted=service.id in self._doubted,
        )

    async def _needed(self, found: Findings) -> _Repair | None:
        """Return what must be done, None if all is as it should be."""
        service = found.service
        anything = bool(found.live or found.left or found.route)
        if service.desired is Desired.DELETED:
            return repairs.delete
        if service.desired is Desired.STOPPED:
            is_told = service.status is ServiceStatus.STOPPED
            return repairs.stop if anything or not is_told else None
        if service.live_release_id is None:
            return repairs.remove_left if anything else None
        return repairs.restore if found.doubted or await self._differs(found) else None

    async def _differs(self, found: Findings) -> bool:
        if found.left or not found.live or found.route is None:
            return True
        if any(seen.status in ENDED for seen in found.seen.values()):
            return True
        wanted = await hostnames(found.service, self._platform.domain)
        addresses = {(backend.host, backend.port) for backend in found.route.backends}
        return (
            set(wanted) != set(found.route.hostnames)
            or addresses != {(row.host, row.port) for row in found.live}
            or found.route.release_id != found.service.live_release_id
        )

    async def _report(self, found: Findings) -> None:
        """Tell what was observed of a service that is as it should be."""
        status, reason = ServiceStatus.ACTIVE, ""
        for seen in found.seen.values():
            if seen.status is Seen.CRASH_LOOP:
                status, reason = ServiceStatus.FAILED, f"crash loop: {seen.reason}"
            elif seen.status is Seen.RESTARTING:
                reason = f"restarting: {seen.reason}"
        await _set_status(found.service, status, reason)

    async def _routes(self, router: Entry[Router]) -> Sequence[Route]:
        async with plugin_call(router.plugin, f"{router.name}.routes", 30):
            return await router.provider.routes()

    async def _repair(self, service: Service, router: Entry[Router]) -> None:
        try:
            lease = await ServiceLease.acquire(
                service.id,
                owner=self._platform.worker,
                seconds=self._platform.options.lease_seconds,
            )
            if lease is None:
                return
            async with lease.kept():
                await self._repair_leased(lease, router)
        except LeaseLost:
            _log.info("service %s has another master now", service.name)
        except repairs.BrokenOff:
            _log.info("the repair of service %s makes way", service.name)
        except HelvetiaError as error:
            if isinstance(error, NeverHealthy):
                # Its process runs on: without this the next look would find nothing wrong.
                self._doubted.add(service.id)
            _log.warning("service %s: %s", service.name, error)
            await _set_status(service, ServiceStatus.FAILED, error.message)
        except Exception:
            _log.exception("repair of service %s", service.name)
        finally:
            self._repairs.pop(service.id, None)

    async def _repair_leased(self, lease: ServiceLease, router: Entry[Router]) -> None:
        """Look again, now that nobody else changes anything, and repair what is found."""
        service = await Service.get_or_none(id=lease.service_id)
        if service is None:
            return
        running = Deployment.filter(service_id=service.id, status=DeploymentStatus.RUNNING)
        if service.desired is Desired.RUNNING and await running.exists():
            return
        routes = {route.service_id: route for route in await self._routes(router)}
        found = await self._find(service, routes.get(service.id))
        if repair := await self._needed(found):
            await repair(self._platform, lease, found, router)
            self._doubted.discard(service.id)


async def _set_status(service: Service, status: ServiceStatus, reason: str) -> None:
    if (service.status, service.status_reason) != (status, reason[:1000]):
        await (
            Service.filter(id=service.id, desired=service.desired)
            .exclude(status=ServiceStatus.DEPLOYING)
            .update(status=status, status_reason=reason[:1000])
        )
