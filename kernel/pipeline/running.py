"""Claim a deployment, run its stages under a lease, and end it truthfully."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from tortoise.expressions import Q

from helvetia.kernel import events
from helvetia.kernel.disk import told
from helvetia.kernel.errors import DeploymentError, HelvetiaError, StageTimeout
from helvetia.kernel.failpoints import failpoint
from helvetia.kernel.models import (
    Deployment,
    DeploymentStatus,
    Desired,
    Instance,
    InstanceStatus,
    Release,
    Service,
    ServiceStatus,
    StageRun,
    StageStatus,
    utcnow,
)
from helvetia.kernel.platform import Platform
from helvetia.kernel.providers import plugin_call

from . import building, rollover
from .claiming import claim, give_up, is_switched, prepare
from .instances import at_once, lead_away, remove_instance, revive
from .lease import LeaseLost
from .planning import BUILD_STAGES, KERNEL_STAGES, choose_router, stage_order
from .run import Run
from .specs import load_reference, volumes_of
from .workspaces import clear_workspaces, workspace

_MAX_ATTEMPTS = 3
_UP_TO_SWITCH = ("start", "probe", "activate")
_FINISHED = (StageStatus.SUCCEEDED, StageStatus.SKIPPED)
_HEAR_SECONDS = 0.3
_LOG_SECONDS = 5.0
_log = logging.getLogger(__name__)

StageFunction = Callable[[Run], Awaitable[str]]
_STAGES: dict[str, StageFunction] = {
    "fetch": building.fetch_stage,
    "detect": building.detect_stage,
    "build": building.build_stage,
    "push": building.push_stage,
    "start": rollover.start_stage,
    "probe": rollover.probe_stage,
    "activate": rollover.activate_stage,
    "drain": rollover.drain_stage,
    "retire": rollover.retire_stage,
}


class Runner:
    """Runs deployments in this process."""

    def __init__(self, platform: Platform) -> None:
        self._platform = platform
        self._runs: set[Run] = set()
        self._busy = 0
        self._stopping = False

    async def __call__(self, deployment_id: str) -> None:
        """Run a deployment if it waits and its service is free; otherwise do nothing."""
        if self._stopping:
            return
        self._busy += 1
        try:
            lease = await claim(self._platform, deployment_id)
            if lease is not None:
                name = f"{deployment_id}.{lease.fence}"
                async with lease.kept(), workspace(self._platform, name) as folder:
                    try:
                        run = await prepare(self._platform, lease, deployment_id, folder)
                    except Exception:
                        await give_up(lease, deployment_id)
                        raise
                    await self._attempt(run)
        except LeaseLost:
            _log.warning("deployment %s went on in another worker", deployment_id)
        finally:
            self._busy -= 1

    async def stop(self) -> None:
        """Interrupt what is running; another worker, or the next start, goes on with it."""
        self._stopping = True
        for run in list(self._runs):
            self._interrupt(run, "shutdown")
        while self._busy:
            await asyncio.sleep(0.05)

    def _interrupt(self, run: Run, why: str) -> None:
        run.why_stopped = run.why_stopped or why
        if run.task is not None:
            run.task.cancel()

    async def _attempt(self, run: Run) -> None:
        run.task = task = asyncio.create_task(self._stages(run))
        hearing = asyncio.create_task(self._hear(run))
        self._runs.add(run)
        if self._stopping:
            self._interrupt(run, "shutdown")
        try:
            await asyncio.wait([task])
            hearing.cancel()
            await self._end(run, task)
        finally:
            hearing.cancel()
            self._runs.discard(run)
            # Still running if the lease was lost; nothing of it may outlast this.
            task.cancel()
            await asyncio.wait([task])
            await run.log.close()

    async def _hear(self, run: Run) -> None:
        """Hear when somebody calls the deployment off, or wants its service gone."""
        off = Q(cancel_requested=True) | ~Q(service__desired=Desired.RUNNING)
        while True:
            try:
                asked = await Deployment.filter(off, id=run.deployment.id).exists()
            except Exception:
                _log.exception("deployment %s: is it called off?", run.deployment.id)
                asked = False
            if asked and not run.no_return:
                self._interrupt(run, "cancelled")
                return
            await asyncio.sleep(_HEAR_SECONDS)

    # --- stages -----------------------------------------------------------------------------

    async def _stages(self, run: Run) -> None:
        if run.problem is not None:
            raise run.problem
        if run.deployment.attempt > _MAX_ATTEMPTS:
            if run.switched:
                await self._leave_rest(run)
                return
            raise DeploymentError(
                f"the worker died {_MAX_ATTEMPTS} times during this deployment",
                hint="see the log of the stage it died in, then deploy again",
            )
        if run.deployment.attempt > 1:
            run.log.line(f"attempt {run.deployment.attempt}: the worker before this one died")
        await self._adopt_release(run)
        again = await self._journal(run)
        # What has volumes is brought back by the reconciler: the new version may have them now.
        if run.switched or not (run.release and volumes_of(run.release)):
            await self._revive(run)
        for name in again:
            await self._stage(run, name)

    async def _leave_rest(self, run: Run) -> None:
        """Give up what is behind the switch: the reconciler removes the former version, too."""
        reason = f"left to the reconciler: the worker died {_MAX_ATTEMPTS} times"
        run.log.line(reason)
        async with run.lease.fenced():
            await (
                StageRun.filter(deployment_id=run.deployment.id)
                .exclude(status__in=_FINISHED)
                .update(status=StageStatus.SKIPPED, reason=reason, finished_at=utcnow())
            )

    async def _adopt_release(self, run: Run) -> None:
        deployment = run.deployment
        run.release = await Release.get_or_none(deployment_id=deployment.id)
        if run.release is not None or deployment.base_release_id is None:
            return
        base = await Release.get(id=deployment.base_release_id)
        registry = self._platform.providers.registries.get(base.providers["registry"])
        reference = load_reference(base)
        async with plugin_call(
            registry.plugin,
            f"{registry.name}.exists",
            self._platform.options.provider_timeout_seconds,
        ):
            is_there = await registry.provider.exists(reference)
        if not is_there:
            raise DeploymentError(
                f"the artifact of release {base.number} is gone from {registry.name}",
                hint="deploy the commit again",
            )
        if deployment.reuse_configuration:
            run.release = base
            async with run.lease.fenced():
                await Deployment.filter(id=deployment.id).update(release_id=base.id)
        else:
            await building.make_release(run, reference, providers=base.providers)

    async def _journal(self, run: Run) -> list[str]:
        """Write the stages down that are to come; return those that must run now."""
        deployment = run.deployment
        skip_build = deployment.base_release_id is not None
        order = [
            name
            for name in stage_order(self._platform, KERNEL_STAGES)
            if not (skip_build and name in BUILD_STAGES)
        ]
        done = {row.name: row.status for row in await StageRun.filter(deployment_id=deployment.id)}
        new = [
            StageRun(deployment_id=deployment.id, position=position, name=name)
            for position, name in enumerate(order)
            if name not in done
        ]
        async with run.lease.fenced():
            await StageRun.bulk_create(new)
            if run.release is None:
                return order
            # The release is kept: what led to it is not done again; all behind it adopts or
            # repeats, unless it is behind the switch, too, and done.
            settled = [*BUILD_STAGES, *_UP_TO_SWITCH] if run.switched else list(BUILD_STAGES)
            await (
                StageRun.filter(deployment_id=deployment.id, name__in=settled)
                .exclude(status__in=_FINISHED)
                .update(
                    status=StageStatus.SUCCEEDED,
                    reason="done, but the worker died before it could tell",
                    finished_at=utcnow(),
                )
            )
        return [
            name
            for name in order
            if name not in settled and not (run.switched and done.get(name) in _FINISHED)
        ]

    async def _revive(self, run: Run) -> None:
        """Bring the live version back if it is gone: this deployment may take long, or fail."""
        try:
            router = await choose_router(self._platform, run.pins)
            if await revive(self._platform, run.lease, router):
                run.log.line("the live version had ended and was started again")
                if run.switched:
                    await self._stage(run, "probe")
        except HelvetiaError as error:
            run.log.line(f"the live version cannot be started again: {error.message}")

    async def _stage(self, run: Run, name: str) -> None:
        run.log.stage = name
        await self._mark(run, name, StageStatus.RUNNING)
        await failpoint(f"{name}:before")
        seconds = self._platform.options.stage_timeout_seconds
        limit = asyncio.timeout(seconds)
        try:
            async with limit:
                function = _STAGES.get(name)
                reason = await (function(run) if function else building.extra_stage(run, name))
        except LeaseLost:
            raise
        except Exception as problem:
            error = told(problem)
            if isinstance(problem, TimeoutError) and limit.expired():
                error = StageTimeout(f"stage {name} took longer than {seconds:g} s")
            message = error.message if isinstance(error, HelvetiaError) else repr(error)
            await self._mark(run, name, StageStatus.FAILED, reason=message)
            if run.switched:
                # The new version is live: what is left of the old one is the reconciler's.
                run.log.line(f"✗ {message}")
                return
            raise error from problem
        await failpoint(f"{name}:after")
        if reason is None:
            await self._mark(run, name, StageStatus.SKIPPED, reason="not needed")
        else:
            await self._mark(run, name, StageStatus.SUCCEEDED, reason=reason)

    async def _mark(self, run: Run, name: str, status: StageStatus, *, reason: str = "") -> None:
        values: dict[str, object] = {
            "status": status,
            "reason": run.log.masked(reason)[:2000],
            "provider": run.provider_of(name),
        }
        if status is StageStatus.RUNNING:
            values |= {"attempt": run.deployment.attempt, "started_at": utcnow()}
            values |= {"finished_at": None}
        else:
            values |= {"finished_at": utcnow()}
            # Its lines come before its end, for whoever follows both.
            run.log.end_output()
            await self._flush(run)
        async with run.lease.fenced():
            await StageRun.filter(deployment_id=run.deployment.id, name=name).update(**values)

    async def _flush(self, run: Run) -> None:
        """Wait until the log is stored; a store that is away does not hold up a deployment."""
        try:
            async with asyncio.timeout(0 if run.log_is_away else _LOG_SECONDS):
                await run.log.flush()
        except TimeoutError:
            run.log_is_away = True

    # --- end --------------------------------------------------------------------------------

    async def _end(self, run: Run, task: asyncio.Task[None]) -> None:
        run.log.end_output()
        # Before anybody hears of the end: also what a build left in a session of its own.
        await clear_workspaces(self._platform, run.workspace)
        if task.cancelled():
            if run.why_stopped == "cancelled":
                await self._clean_up(run)
                await self._finish(run, DeploymentStatus.CANCELLED, "cancelled", "cancelled")
            elif run.why_stopped == "shutdown":
                run.log.line("interrupted: the worker stops; the deployment goes on later")
                await give_up(run.lease, run.deployment.id)
            return
        error = task.exception()
        if isinstance(error, LeaseLost):
            raise error
        if isinstance(error, Exception):
            error = told(error)
        if error is not None and not isinstance(error, HelvetiaError):
            _log.error("deployment %s", run.deployment.id, exc_info=error)
        if error is None or await is_switched(run.deployment.id):
            await self._finish(run, DeploymentStatus.LIVE, "", "")
            return
        await self._clean_up(run)
        code, reason = "internal", f"{type(error).__name__}: {error}"
        if isinstance(error, HelvetiaError):
            code = error.code
            reason = error.message + (f" ({error.hint})" if error.hint else "")
        await self._finish(run, DeploymentStatus.FAILED, code, reason)

    async def _clean_up(self, run: Run) -> None:
        """Remove what the attempt started; the live version was never touched."""
        await run.lease.confirm()
        rows = await Instance.filter(service_id=run.service.id, status=InstanceStatus.STARTING)
        if not rows:
            return
        try:
            router = await choose_router(run.platform, run.pins)
            await lead_away(run.platform, run.lease, router, rows)
            await at_once(remove_instance(run.platform, run.lease, row) for row in rows)
            if run.release and volumes_of(run.release):
                await self._revive(run)
        except HelvetiaError as error:
            run.log.line(f"the reconciler will remove what was started: {error.message}")

    async def _finish(self, run: Run, status: DeploymentStatus, code: str, reason: str) -> None:
        reason = run.log.masked(reason)
        # Told apart from the stages: whoever shows the deployment's status leaves it out.
        run.log.stage = "end"
        last = reason or status.value.lower()
        run.log.line(f"✓ {last}" if status is DeploymentStatus.LIVE else f"✗ {last}")
        await self._flush(run)
        await failpoint("finish:before")
        async with run.lease.fenced():
            service = await Service.get(id=run.service.id)
            await Deployment.filter(id=run.deployment.id).update(
                status=status,
                reason=reason,
                reason_code=code,
                receipt=run.receipt,
                finished_at=utcnow(),
            )
            stages = StageRun.filter(deployment_id=run.deployment.id)
            await stages.filter(status=StageStatus.RUNNING).update(
                status=StageStatus.CANCELLED, finished_at=utcnow()
            )
            await stages.filter(status=StageStatus.PENDING).update(
                status=StageStatus.SKIPPED, reason="not reached"
            )
            state = await _service_state(service, status, reason)
            await Service.filter(id=service.id).update(**state)
            await events.record(
                f"deployment.{status.value.lower()}",
                team_id=service.team_id,
                service_id=service.id,
                deployment_id=run.deployment.id,
                reason=reason[:1000],
            )
        await failpoint("finish:after")


async def _service_state(
    service: Service, status: DeploymentStatus, reason: str
) -> dict[str, ServiceStatus | str]:
    """Say what is true of the service now; the reconciler corrects it if more is known."""
    if await Instance.filter(service_id=service.id, status=InstanceStatus.LIVE).exists():
        if status is not DeploymentStatus.LIVE and service.status_reason:
            return {"status": ServiceStatus.FAILED}
        return {"status": ServiceStatus.ACTIVE, "status_reason": ""}
    if status is DeploymentStatus.FAILED and service.live_release_id is None:
        return {"status": ServiceStatus.FAILED, "status_reason": reason[:1000]}
    return {"status": ServiceStatus.IDLE, "status_reason": ""}
