"""The rollover: start beside the old, probe, switch, drain, retire. The kernel owns the order.

The old version is touched only after the router has confirmed the switch to the new one.
"""

from __future__ import annotations

import asyncio
import time

from tortoise.expressions import F

from helvetia.kernel.collecting import Collector
from helvetia.kernel.contracts.router import Backend, Route, Router, Traffic
from helvetia.kernel.contracts.runtime import Instance as RunningInstance
from helvetia.kernel.contracts.runtime import Runtime
from helvetia.kernel.domains import hostnames
from helvetia.kernel.errors import HelvetiaError, NeverHealthy
from helvetia.kernel.models import (
    Deployment,
    DeploymentStatus,
    Instance,
    InstanceStatus,
    Release,
    Service,
    Trigger,
)
from helvetia.kernel.platform import Platform
from helvetia.kernel.providers import Entry, plugin_call

from .lease import ServiceLease
from .planning import choose_router
from .probe import Prober
from .run import Run
from .specs import health_check, instance_spec

_QUIET_SECONDS = 1.0
"""A version is drained when it had no connection for so long: requests that the proxy had
already dispatched when it took the new route are on their way no longer."""
_LAST_LINES = 20


async def start_stage(run: Run) -> str:
    """Start the new instance, or adopt the one a former attempt started."""
    runtime, release = run.runtime(), run.the_release
    async with run.lease.fenced():
        await Instance.get_or_create(
            id=run.deployment.id,
            defaults={
                "service_id": run.service.id,
                "release_id": release.id,
                "runtime": runtime.name,
            },
        )
    spec = await instance_spec(run.platform, run.service, release, run.deployment.id)
    async with plugin_call(
        runtime.plugin, f"{runtime.name}.start", run.platform.options.stage_timeout_seconds
    ):
        instance = await runtime.provider.start(spec)
    async with run.lease.fenced():
        await Instance.filter(id=instance.id).update(host=instance.host, port=instance.port)
    return f"{instance.host}:{instance.port}"


async def probe_stage(run: Run) -> str:
    """Wait until the new instance is healthy; if it never is, show its last lines."""
    runtime = run.runtime()
    row = await Instance.get(id=run.deployment.id)
    check = health_check(run.the_release)
    names = await hostnames(run.service, run.platform.domain)
    prober = Prober(runtime, running(row), check=check, hostname=names[0])
    try:
        seconds = await prober.wait()
    except NeverHealthy:
        await _show_last_lines(run, runtime, row.id)
        raise
    run.receipt["probe_seconds"] = round(seconds, 3)
    what = f"GET {check.path}" if check.path else "TCP"
    return f"healthy after {seconds:.1f} s ({check.successes} x {what})"


async def activate_stage(run: Run) -> str:
    """Switch the route to the new instance and make it the live release."""
    router = await choose_router(run.platform, run.pins)
    row = await Instance.get(id=run.deployment.id)
    former = run.service.live_release_id
    run.receipt["before"] = await _counted(run, router, former)
    run.no_return = True
    began = time.monotonic()
    await switch_route(run.platform, run.lease, router, [row])
    run.receipt["activation_seconds"] = round(time.monotonic() - began, 3)
    async with run.lease.fenced():
        await Service.filter(id=run.service.id).update(live_release_id=run.the_release.id)
        await (
            Instance.filter(service_id=run.service.id)
            .exclude(id=row.id)
            .update(status=InstanceStatus.DRAINING)
        )
        await Instance.filter(id=row.id).update(status=InstanceStatus.LIVE)
        if run.deployment.trigger is Trigger.ROLLBACK and former not in (None, run.the_release.id):
            await Deployment.filter(release_id=former, status=DeploymentStatus.LIVE).update(
                status=DeploymentStatus.ROLLED_BACK
            )
    run.receipt["former_release"] = former
    return f"confirmed by {router.name} after {run.receipt['activation_seconds']:.2f} s"


async def switch_route(
    platform: Platform, lease: ServiceLease, router: Entry[Router], rows: list[Instance]
) -> None:
    """Lead the service's hostnames to instances of one release, with a generation of its own."""
    async with lease.fenced():
        await Service.filter(id=lease.service_id).update(generation=F("generation") + 1)
        service = await Service.get(id=lease.service_id)
    route = Route(
        service_id=service.id,
        release_id=rows[0].release_id,
        hostnames=await hostnames(service, platform.domain),
        backends=tuple(Backend(host=row.host, port=row.port) for row in rows),
        generation=service.generation,
    )
    async with plugin_call(
        router.plugin, f"{router.name}.activate", platform.options.provider_timeout_seconds
    ):
        await router.provider.activate(route)


async def drain_stage(run: Run) -> str:
    """Wait until the former instances have no connection left, bounded."""
    rows = await _draining(run)
    if not rows:
        return "there was no former version"
    limit = run.the_release.configuration.get("drain_seconds")
    if limit is None:
        limit = run.platform.options.drain_seconds
    began = time.monotonic()
    left = await _drain(run, rows, float(limit))
    seconds = time.monotonic() - began
    run.receipt["drain_seconds"] = round(seconds, 3)
    if left:
        return f"{left} connections were left after {seconds:.0f} s and are closed now"
    return f"no connection left after {seconds:.1f} s"


async def _drain(run: Run, rows: list[Instance], limit: float) -> int:
    began = quiet_since = time.monotonic()
    while True:
        open_now = 0
        for row in rows:
            runtime = run.platform.providers.runtimes.get(row.runtime)
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


async def retire_stage(run: Run) -> str:
    """Stop and remove the former instances."""
    rows = await _draining(run)
    for row in rows:
        await remove_instance(run.platform, run.lease, row)
    await _finish_receipt(run)
    return f"stopped {len(rows)}" if rows else "there was no former version"


async def remove_instance(platform: Platform, lease: ServiceLease, row: Instance) -> None:
    """Stop an instance, remove what is left of it, and only then forget it."""
    runtime = platform.providers.runtimes.get(row.runtime)
    release = await Release.get(id=row.release_id)
    grace = float(release.configuration["stop_grace_seconds"])
    async with plugin_call(runtime.plugin, f"{runtime.name}.stop", grace + 30):
        await runtime.provider.stop(row.id, grace)
    await Collector(platform).rest(row)
    async with plugin_call(runtime.plugin, f"{runtime.name}.remove", 60):
        await runtime.provider.remove(row.id)
    async with lease.fenced():
        await Instance.filter(id=row.id).delete()


async def _draining(run: Run) -> list[Instance]:
    return await Instance.filter(service_id=run.service.id, status=InstanceStatus.DRAINING)


async def _show_last_lines(run: Run, runtime: Entry[Runtime], instance_id: str) -> None:
    try:
        async with plugin_call(runtime.plugin, f"{runtime.name}.logs", 10):
            page = await runtime.provider.logs(instance_id, "", 10_000)
    except HelvetiaError as error:
        run.log.line(error.message)
        return
    if not page.lines:
        run.log.line("it wrote nothing")
        return
    run.log.line("its last lines:")
    for line in page.lines[-_LAST_LINES:]:
        run.log.write(line.text.encode() + b"\n", line.stream)


async def _counted(run: Run, router: Entry[Router], release_id: str | None) -> dict[str, int]:
    """Read the router's counters; a router that cannot count gives nothing."""
    if release_id is None:
        return {}
    try:
        async with plugin_call(router.plugin, f"{router.name}.traffic", 5):
            traffic = await router.provider.traffic(run.service.id, release_id)
    except HelvetiaError as error:
        run.log.line(error.message)
        return {}
    return _as_dict(traffic)


def _as_dict(traffic: Traffic | None) -> dict[str, int]:
    return {} if traffic is None else {"requests": traffic.requests, "failed": traffic.failed}


async def _finish_receipt(run: Run) -> None:
    """Add up what both versions answered between the switch and the end of the old one."""
    router = await choose_router(run.platform, run.pins)
    new = await _counted(run, router, run.the_release.id)
    former = run.receipt.pop("former_release", None)
    before = run.receipt.pop("before", {})
    if not new:
        return
    old = await _counted(run, router, former) if former != run.the_release.id else {}
    for name in ("requests", "failed"):
        since = max(0, old.get(name, 0) - before.get(name, 0)) if old else 0
        run.receipt[name] = new[name] + since


def running(row: Instance) -> RunningInstance:
    """Return an instance row as runtimes and probes know it."""
    return RunningInstance(
        id=row.id,
        service_id=row.service_id,
        release_id=row.release_id,
        host=row.host,
        port=row.port,
    )
