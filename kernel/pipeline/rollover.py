"""The rollover: start beside the old, probe, switch, drain, retire. The kernel owns the order.

The old version is touched only after the router has confirmed the switch to the new one.
"""

from __future__ import annotations

import time

from helvetia.kernel.contracts.router import Router, Traffic
from helvetia.kernel.contracts.runtime import Runtime
from helvetia.kernel.domains import hostnames
from helvetia.kernel.errors import HelvetiaError, NeverHealthy, ReleaseFailed
from helvetia.kernel.failpoints import failpoint
from helvetia.kernel.models import (
    Deployment,
    DeploymentStatus,
    Instance,
    InstanceStatus,
    Service,
    Trigger,
)
from helvetia.kernel.providers import Entry, plugin_call

from .instances import at_once, drain, remove_instance, running, start, stop, switch_route
from .planning import choose_router
from .probe import Prober
from .run import Run
from .specs import health_check, instance_ids, volumes_of

_LAST_LINES = 20


async def start_stage(run: Run) -> str:
    """Start the new instances, or adopt those a former attempt started."""
    runtime = run.runtime()
    if volumes := volumes_of(run.the_release):
        if "volumes" not in runtime.provider.capabilities:
            raise ReleaseFailed(
                f"the runtime {runtime.name} keeps no volumes",
                hint="take `volumes` out of the service's settings, or choose another runtime",
            )
        await _stop_first(run, ", ".join(volumes))
    ids = _ids(run)
    values = {"release_id": run.the_release.id, "runtime": runtime.name}
    async with run.lease.fenced():
        for name in ids:
            await Instance.get_or_create(id=name, defaults={"service_id": run.service.id, **values})
    await failpoint("start:row")
    rows = await _new(run)
    await at_once(_start(run, row) for row in rows)
    return ", ".join(f"{row.host}:{row.port}" for row in rows)


async def _start(run: Run, row: Instance) -> None:
    await start(run.platform, run.lease, row, await run.spec(row.id))


async def _stop_first(run: Run, volumes: str) -> None:
    """Stop the live version, which is not removed: if the new one fails, it is started again."""
    others = await Instance.filter(service_id=run.service.id).exclude(id__in=_ids(run))
    if others:
        run.log.line(f"the former version is stopped first, because of the volumes: {volumes}")
    await at_once(stop(run.platform, run.lease, row) for row in others)


async def _new(run: Run) -> list[Instance]:
    """Return the instances of this deployment, the first one first."""
    rows = {row.id: row for row in await Instance.filter(id__in=_ids(run))}
    return [rows[name] for name in _ids(run)]


def _ids(run: Run) -> list[str]:
    return instance_ids(run.deployment.id, run.the_release)


async def probe_stage(run: Run) -> str:
    """Wait until all new instances are healthy; if one never is, show its last lines."""
    check = health_check(run.the_release)
    names = await hostnames(run.service, run.platform.domain)
    seconds = max(await at_once(_probe(run, row, names[0]) for row in await _new(run)))
    run.receipt["probe_seconds"] = round(seconds, 3)
    what = f"GET {check.path}" if check.path else "TCP"
    return f"healthy after {seconds:.1f} s ({check.successes} x {what})"


async def _probe(run: Run, row: Instance, hostname: str) -> float:
    runtime = run.runtime()
    check = health_check(run.the_release)
    try:
        return await Prober(runtime, running(row), check=check, hostname=hostname).wait()
    except NeverHealthy:
        await _show_last_lines(run, runtime, row.id)
        raise


async def activate_stage(run: Run) -> str:
    """Switch the route to the new instances and make theirs the live release."""
    router = await choose_router(run.platform, run.pins)
    rows = await _new(run)
    former = run.service.live_release_id
    # A release that comes back has a count already: only what is added to it is the switch's.
    for release_id in {former, run.the_release.id} - {None}:
        run.counted_before[str(release_id)] = await _counted(run, router, str(release_id))
    run.no_return = True
    began = time.monotonic()
    await switch_route(run.platform, run.lease, router, rows)
    run.receipt["activation_seconds"] = round(time.monotonic() - began, 3)
    async with run.lease.fenced():
        await Service.filter(id=run.service.id).update(live_release_id=run.the_release.id)
        ids = [row.id for row in rows]
        others = Instance.filter(service_id=run.service.id).exclude(id__in=ids)
        await others.update(status=InstanceStatus.DRAINING)
        await Instance.filter(id__in=ids).update(status=InstanceStatus.LIVE)
        if run.deployment.trigger is Trigger.ROLLBACK and former not in (None, run.the_release.id):
            await Deployment.filter(release_id=former, status=DeploymentStatus.LIVE).update(
                status=DeploymentStatus.ROLLED_BACK
            )
    run.switched = True
    return f"confirmed by {router.name} after {run.receipt['activation_seconds']:.2f} s"


async def drain_stage(run: Run) -> str:
    """Wait until the former instances have no connection left, bounded."""
    rows = await _draining(run)
    if not rows:
        return "there was no former version"
    limit = run.the_release.configuration.get("drain_seconds")
    if limit is None:
        limit = run.platform.options.drain_seconds
    await failpoint("drain:begun")
    began = time.monotonic()
    left = await drain(run.platform, rows, float(limit))
    seconds = time.monotonic() - began
    run.receipt["drain_seconds"] = round(seconds, 3)
    if left:
        return f"{left} connections were left after {seconds:.0f} s and are closed now"
    return f"no connection left after {seconds:.1f} s"


async def retire_stage(run: Run) -> str:
    """Stop and remove the former instances."""
    rows = await _draining(run)
    await at_once(remove_instance(run.platform, run.lease, row) for row in rows)
    await _finish_receipt(run)
    return f"stopped {len(rows)}" if rows else "there was no former version"


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


async def _counted(run: Run, router: Entry[Router], release_id: str) -> Traffic | None:
    """Read the router's counters; None if it cannot count."""
    try:
        async with plugin_call(router.plugin, f"{router.name}.traffic", 5):
            return await router.provider.traffic(run.service.id, release_id)
    except HelvetiaError as error:
        run.log.line(error.message)
        return None


async def _finish_receipt(run: Run) -> None:
    """Add up what both versions answered between the switch and the end of the old one."""
    router = await choose_router(run.platform, run.pins)
    nothing = Traffic(requests=0, failed=0)
    requests = failed = 0
    for release_id, before in run.counted_before.items():
        now = await _counted(run, router, release_id)
        if now is None:
            return
        # Lower than before: the router was started again meanwhile and counts from 0.
        start = before if before and before.requests <= now.requests else nothing
        requests += now.requests - start.requests
        failed += max(0, now.failed - start.failed)
    if run.counted_before:
        run.receipt |= {"requests": requests, "failed": failed}
