"""Claim a deployment, run its stages under a lease, and end it truthfully."""

from __future__ import annotations

import asyncio
import logging
import shutil
from collections.abc import Awaitable, Callable

from tortoise.expressions import F
from tortoise.transactions import in_transaction

from helvetia.kernel import environment, events
from helvetia.kernel.commands import kill_owned
from helvetia.kernel.errors import DeploymentError, HelvetiaError, StageTimeout
from helvetia.kernel.logs import LogWriter, Redactor
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

from . import building, rollover
from .lease import LeaseLost, ServiceLease
from .planning import BUILD_STAGES, KERNEL_STAGES, stage_order
from .run import Run
from .specs import load_reference

_MAX_ATTEMPTS = 3
_AFTER_SWITCH = ("drain", "retire")
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
        self._stopping = False

    async def __call__(self, deployment_id: str) -> None:
        """Run a deployment if it waits and its service is free; otherwise do nothing."""
        if self._stopping:
            return
        run = await self._claim(deployment_id)
        if run is None:
            return
        self._runs.add(run)
        beat = asyncio.create_task(self._beat(run))
        run.task = asyncio.create_task(self._stages(run))
        try:
            await asyncio.wait([run.task])
            await self._end(run, run.task)
        except LeaseLost:
            _log.warning("deployment %s went on in another worker", deployment_id)
        finally:
            beat.cancel()
            self._runs.discard(run)
            await asyncio.to_thread(shutil.rmtree, run.workspace, ignore_errors=True)
            await run.log.close()
            await run.lease.release()

    async def stop(self) -> None:
        """Interrupt what is running; another worker, or the next start, goes on with it."""
        self._stopping = True
        for run in list(self._runs):
            self._interrupt(run, "shutdown")
        while self._runs:
            await asyncio.sleep(0.05)

    def _interrupt(self, run: Run, why: str) -> None:
        run.why_stopped = run.why_stopped or why
        if run.task is not None:
            run.task.cancel()

    # --- claim ------------------------------------------------------------------------------

    async def _claim(self, deployment_id: str) -> Run | None:
        platform = self._platform
        async with in_transaction():
            deployment = await Deployment.get_or_none(id=deployment_id)
            if deployment is None or deployment.status.is_final:
                return None
            lease = await ServiceLease.acquire(
                deployment.service_id, owner=platform.worker, seconds=platform.options.lease_seconds
            )
            if lease is None:
                return None
            open_states = (DeploymentStatus.QUEUED, DeploymentStatus.RUNNING)
            won = await Deployment.filter(id=deployment_id, status__in=open_states).update(
                status=DeploymentStatus.RUNNING,
                attempt=F("attempt") + 1,
                fence=lease.fence,
                worker=platform.worker,
                started_at=deployment.started_at or utcnow(),
            )
            if not won:
                await lease.release()
                return None
            await Service.filter(id=lease.service_id).update(
                status=ServiceStatus.DEPLOYING, status_reason=""
            )
        return await self._prepare(lease, deployment_id)

    async def _prepare(self, lease: ServiceLease, deployment_id: str) -> Run:
        platform = self._platform
        deployment = await Deployment.get(id=deployment_id)
        service = await Service.get(id=lease.service_id)
        secrets = await environment.values(service.id, service.environment_version, platform.vault)
        log = await LogWriter.open(
            platform.logs,
            f"deployment:{deployment.id}",
            redactor=Redactor(secrets.values()),
            notify=platform.hub.notify,
            max_bytes=platform.options.deployment_log_mb * 2**20,
        )
        run = Run(
            platform=platform,
            lease=lease,
            deployment=deployment,
            service=service,
            log=log,
            workspace=platform.folder("work") / deployment.id,
            secrets=secrets,
        )
        # What a killed attempt left behind must not meet this one.
        await asyncio.to_thread(kill_owned, run.owner_mark)
        await asyncio.to_thread(shutil.rmtree, run.workspace, ignore_errors=True)
        return run

    async def _beat(self, run: Run) -> None:
        """Keep the lease, and hear when somebody calls the deployment off."""
        renew_every = run.lease.seconds / 3
        waited = 0.0
        while True:
            await asyncio.sleep(0.3)
            waited += 0.3
            try:
                if waited >= renew_every:
                    waited = 0.0
                    if not await run.lease.renew():
                        self._interrupt(run, "lost")
                        return
                asked = await Deployment.filter(
                    id=run.deployment.id, cancel_requested=True
                ).exists()
            except Exception:
                _log.exception("heartbeat of deployment %s", run.deployment.id)
                continue
            if asked and not run.no_return:
                self._interrupt(run, "cancelled")
                return

    # --- stages -----------------------------------------------------------------------------

    async def _stages(self, run: Run) -> None:
        if run.deployment.attempt > _MAX_ATTEMPTS:
            raise DeploymentError(
                f"the worker died {_MAX_ATTEMPTS} times during this deployment",
                hint="see the log of the stage it died in, then deploy again",
            )
        if run.deployment.attempt > 1:
            run.log.line(f"attempt {run.deployment.attempt}: the worker before this one died")
        await self._adopt_release(run)
        again = await self._journal(run)
        for name in again:
            await self._stage(run, name)

    async def _adopt_release(self, run: Run) -> None:
        deployment = run.deployment
        if deployment.base_release_id is None:
            run.release = await Release.get_or_none(deployment_id=deployment.id)
            return
        base = await Release.get(id=deployment.base_release_id)
        registry = self._platform.providers.registries.get(base.providers["registry"])
        reference = load_reference(base)
        if not await registry.provider.exists(reference):
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
        async with run.lease.fenced():
            for position, name in enumerate(order):
                if name not in done:
                    await StageRun.create(deployment_id=deployment.id, position=position, name=name)
        if run.release is None:
            return order
        # The release is kept: what led to it is not done again; all behind it adopts or repeats.
        after_push = [name for name in order if name not in BUILD_STAGES]
        finished = (StageStatus.SUCCEEDED, StageStatus.SKIPPED)
        switched = done.get("activate") in finished
        run.no_return = switched
        return [n for n in after_push if not (switched and done.get(n) in finished)]

    async def _stage(self, run: Run, name: str) -> None:
        run.log.stage = name
        await self._mark(run, name, StageStatus.RUNNING)
        seconds = self._platform.options.stage_timeout_seconds
        limit = asyncio.timeout(seconds)
        try:
            async with limit:
                function = _STAGES.get(name)
                reason = await (function(run) if function else building.extra_stage(run, name))
        except TimeoutError as error:
            if not limit.expired():
                raise
            message = f"stage {name} took longer than {seconds:g} s"
            await self._mark(run, name, StageStatus.FAILED, reason=message)
            raise StageTimeout(message) from error
        except LeaseLost:
            raise
        except Exception as error:
            message = error.message if isinstance(error, HelvetiaError) else repr(error)
            await self._mark(run, name, StageStatus.FAILED, reason=message)
            if name in _AFTER_SWITCH:
                # The new version is live: what is left of the old one is the reconciler's.
                run.log.line(f"✗ {message}")
                return
            raise
        if reason is None:
            await self._mark(run, name, StageStatus.SKIPPED, reason="not needed")
        else:
            await self._mark(run, name, StageStatus.SUCCEEDED, reason=reason)

    async def _mark(self, run: Run, name: str, status: StageStatus, *, reason: str = "") -> None:
        values: dict[str, object] = {
            "status": status,
            "reason": reason[:2000],
            "provider": run.provider_of(name),
        }
        if status is StageStatus.RUNNING:
            values |= {"attempt": run.deployment.attempt, "started_at": utcnow()}
            values |= {"finished_at": None}
        else:
            values |= {"finished_at": utcnow()}
        async with run.lease.fenced():
            await StageRun.filter(deployment_id=run.deployment.id, name=name).update(**values)

    # --- end --------------------------------------------------------------------------------

    async def _end(self, run: Run, task: asyncio.Task[None]) -> None:
        run.log.end_output()
        error: BaseException | None = None
        if task.cancelled():
            if run.why_stopped == "cancelled":
                await self._clean_up(run)
                await self._finish(run, DeploymentStatus.CANCELLED, "cancelled", "cancelled")
            elif run.why_stopped == "shutdown":
                run.log.line("interrupted: the worker stops; the deployment goes on later")
                await asyncio.to_thread(kill_owned, run.owner_mark)
                async with run.lease.fenced():
                    # A worker that was told to stop did not die of this deployment.
                    await Deployment.filter(id=run.deployment.id).update(attempt=F("attempt") - 1)
            return
        error = task.exception()
        if error is None:
            await self._finish(run, DeploymentStatus.LIVE, "", "")
        elif isinstance(error, LeaseLost):
            raise error
        elif isinstance(error, HelvetiaError):
            hint = f" ({error.hint})" if error.hint else ""
            await self._clean_up(run)
            await self._finish(run, DeploymentStatus.FAILED, error.code, error.message + hint)
        else:
            _log.error("deployment %s", run.deployment.id, exc_info=error)
            await self._clean_up(run)
            await self._finish(
                run, DeploymentStatus.FAILED, "internal", f"{type(error).__name__}: {error}"
            )

    async def _clean_up(self, run: Run) -> None:
        """Remove what the attempt started; the live version was never touched."""
        await asyncio.to_thread(kill_owned, run.owner_mark)
        row = await Instance.get_or_none(id=run.deployment.id, status=InstanceStatus.STARTING)
        if row is None:
            return
        try:
            await rollover.remove_instance(run.platform, run.lease, row)
        except HelvetiaError as error:
            run.log.line(f"the reconciler will remove the instance: {error.message}")

    async def _finish(self, run: Run, status: DeploymentStatus, code: str, reason: str) -> None:
        # Told apart from the stages: whoever shows the deployment's status leaves it out.
        run.log.stage = "end"
        last = reason or status.value.lower()
        run.log.line(f"✓ {last}" if status is DeploymentStatus.LIVE else f"✗ {last}")
        await run.log.flush()
        receipt = {k: v for k, v in run.receipt.items() if not isinstance(v, dict)}
        async with run.lease.fenced():
            service = await Service.get(id=run.service.id)
            await Deployment.filter(id=run.deployment.id).update(
                status=status,
                reason=reason,
                reason_code=code,
                receipt=receipt,
                finished_at=utcnow(),
            )
            stages = StageRun.filter(deployment_id=run.deployment.id)
            await stages.filter(status=StageStatus.RUNNING).update(
                status=StageStatus.CANCELLED, finished_at=utcnow()
            )
            await stages.filter(status=StageStatus.PENDING).update(
                status=StageStatus.SKIPPED, reason="not reached"
            )
            await Service.filter(id=service.id).update(**_service_state(service, status, reason))
            await events.record(
                f"deployment.{status.value.lower()}",
                team_id=service.team_id,
                service_id=service.id,
                deployment_id=run.deployment.id,
                reason=reason[:1000],
            )


def _service_state(
    service: Service, status: DeploymentStatus, reason: str
) -> dict[str, ServiceStatus | str]:
    if status is DeploymentStatus.LIVE or service.live_release_id is not None:
        active = service.desired is Desired.RUNNING
        return {
            "status": ServiceStatus.ACTIVE if active else ServiceStatus.STOPPED,
            "status_reason": "",
        }
    if status is DeploymentStatus.CANCELLED:
        return {"status": ServiceStatus.IDLE, "status_reason": ""}
    return {"status": ServiceStatus.FAILED, "status_reason": reason[:1000]}
