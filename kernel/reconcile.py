"""Compare what should be with what runtimes and routers show, and have it repaired.

The database says what should be. Nothing that does not carry this installation's labels is ever
touched. A service whose lease somebody holds is left to its holder.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable

from . import repairs
from .contracts.router import Route, Router
from .contracts.runtime import InstanceStatus as Seen
from .domains import hostnames
from .errors import HelvetiaError
from .models import (
    OPEN_STATES,
    Deployment,
    DeploymentStatus,
    Desired,
    Instance,
    InstanceStatus,
    Service,
    ServiceStatus,
)
from .pipeline.instances import observe, revive, routes_of
from .pipeline.lease import LeaseLost, ServiceLease, is_free
from .platform import Platform
from .providers import Entry
from .repairs import Findings

_Repair = Callable[[Platform, ServiceLease, Findings, Entry[Router]], Awaitable[None]]
_ROUTER_SECONDS = 5.0
_log = logging.getLogger(__name__)


class Reconciler:
    """Looks at all services and repairs them, each by a task of its own."""

    def __init__(self, platform: Platform) -> None:
        self._platform = platform
        self._repairs: dict[str, asyncio.Task[None]] = {}
        self._problem = ""
        self._ask_router_at = 0.0

    async def once(self) -> None:
        """Look at everything once; repairs go on beside."""
        router, routes = await self._ask_router()
        deploying = {row.service_id for row in await Deployment.filter(status__in=OPEN_STATES)}
        for service in await Service.filter(is_free(self._platform.options.lease_seconds)):
            if service.id in self._repairs:
                continue
            if service.id in deploying and service.desired is Desired.RUNNING:
                continue
            try:
                await self._look(service, routes.get(service.id), router)
            except HelvetiaError as error:
                _log.warning("service %s: %s", service.name, error)
                # It may run as before: nobody can tell.
                await _set_status(service, service.status, f"not known: {error.message}")
        if router is not None:
            await repairs.collect_orphans(self._platform, router, routes)

    @property
    def is_repairing(self) -> bool:
        """Whether repairs are under way."""
        return bool(self._repairs)

    async def settled(self) -> None:
        """Wait for the repairs under way."""
        while self._repairs:
            await asyncio.wait(self._repairs.values())

    async def stop(self) -> None:
        """Interrupt the repairs under way; the next start goes on with them."""
        for task in self._repairs.values():
            task.cancel()
        await self.settled()

    async def _ask_router(self) -> tuple[Entry[Router] | None, dict[str, Route]]:
        """Return the router and its routes; no router for a while after it did not answer."""
        if time.monotonic() < self._ask_router_at:
            return None, {}
        try:
            router = await self._platform.router()
            routes = await routes_of(self._platform, router)
        except HelvetiaError as error:
            if error.message != self._problem:
                _log.warning("no service can be reached: %s", error)
            self._problem = error.message
            self._ask_router_at = time.monotonic() + _ROUTER_SECONDS
            return None, {}
        self._problem = ""
        return router, routes

    async def _look(
        self, service: Service, route: Route | None, router: Entry[Router] | None
    ) -> None:
        found = await self._find(service, route)
        should_run = service.desired is Desired.RUNNING and service.live_release_id is not None
        if router is not None:
            is_needed = await self._needed(found) is not None
        else:
            # So that at least they run when it is back.
            is_needed = should_run and found.has_ended
        if is_needed or service.lease_owner is not None:
            # With nothing to repair it only gives the lease of a dead worker back.
            task = asyncio.create_task(self._repair(service, router))
            self._repairs[service.id] = task
        elif should_run and router is None:
            await _set_status(service, ServiceStatus.FAILED, f"out of reach: {self._problem}")
        elif should_run:
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
        if found.has_ended:
            return True
        wanted = await hostnames(found.service, self._platform.domain)
        addresses = {(backend.host, backend.port) for backend in found.route.backends}
        return (
            set(wanted) != set(found.route.hostnames)
            or addresses != {(row.host, row.port) for row in found.usable}
            or found.route.release_id != found.service.live_release_id
        )

    async def _report(self, found: Findings) -> None:
        """Tell what was observed of a service that is as it should be."""
        status, reason = ServiceStatus.ACTIVE, ""
        for seen in found.seen.values():
            if seen.status is Seen.CRASH_LOOP:
                status, reason = ServiceStatus.FAILED, f"crash loop: {seen.reason}"
            elif seen.status is Seen.RESTARTING:
                # That a process starts makes no service well that was not.
                if found.service.status is ServiceStatus.FAILED:
                    status = ServiceStatus.FAILED
                reason = f"restarting: {seen.reason}"
        if running := sum(seen.status is Seen.RUNNING for seen in found.seen.values()):
            status = ServiceStatus.ACTIVE
        if reason:
            reason = repairs.count_of(running, len(found.seen), reason)
        await _set_status(found.service, status, reason)

    async def _repair(self, service: Service, router: Entry[Router] | None) -> None:
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
            _log.warning("service %s: %s", service.name, error)
            await _set_status(service, ServiceStatus.FAILED, error.message)
        except Exception:
            _log.exception("repair of service %s", service.name)
        finally:
            self._repairs.pop(service.id, None)

    async def _repair_leased(self, lease: ServiceLease, router: Entry[Router] | None) -> None:
        """Look again, now that nobody else changes anything, and repair what is found."""
        service = await Service.get_or_none(id=lease.service_id)
        if service is None or (router is None and service.desired is not Desired.RUNNING):
            return
        running = Deployment.filter(service_id=service.id, status=DeploymentStatus.RUNNING)
        if service.desired is Desired.RUNNING and await running.exists():
            return
        if router is None:
            await revive(self._platform, lease, None)
            return
        routes = await routes_of(self._platform, router)
        found = await self._find(service, routes.get(service.id))
        if repair := await self._needed(found):
            await repair(self._platform, lease, found, router)


async def _set_status(service: Service, status: ServiceStatus, reason: str) -> None:
    if (service.status, service.status_reason) != (status, reason[:1000]):
        await (
            Service.filter(id=service.id, desired=service.desired)
            .exclude(status=ServiceStatus.DEPLOYING)
            .update(status=status, status_reason=reason[:1000])
        )
