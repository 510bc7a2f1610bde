"""Claim a deployment: become the master of its service, and find out where it stands."""

from __future__ import annotations

import asyncio
from pathlib import Path

from tortoise.expressions import F
from tortoise.transactions import in_transaction

from helvetia.kernel import environment
from helvetia.kernel.errors import HelvetiaError
from helvetia.kernel.failpoints import failpoint
from helvetia.kernel.models import (
    OPEN_STATES,
    Deployment,
    DeploymentStatus,
    Instance,
    InstanceStatus,
    Scope,
    Service,
    ServiceStatus,
    utcnow,
)
from helvetia.kernel.platform import Platform
from helvetia.logs import LogWriter
from helvetia.masking import Redactor
from helvetia.programs import kill_owned

from .lease import ServiceLease
from .run import Run
from .workspaces import collect_workspaces, owner_mark


async def claim(platform: Platform, deployment_id: str) -> ServiceLease | None:
    """Begin an attempt at a deployment, if it is its turn and its service is free."""
    async with in_transaction():
        deployment = await Deployment.get_or_none(id=deployment_id)
        if deployment is None or deployment.status.is_final:
            return None
        lease = await ServiceLease.acquire(
            deployment.service_id, owner=platform.worker, seconds=platform.options.lease_seconds
        )
        if lease is None:
            return None
        # One whose worker died comes first: it must not go live on top of a newer one.
        older = Deployment.filter(
            service_id=lease.service_id, number__lt=deployment.number, status__in=OPEN_STATES
        )
        won = not await older.exists() and await Deployment.filter(
            id=deployment_id, status__in=OPEN_STATES
        ).update(
            status=DeploymentStatus.RUNNING,
            attempt=F("attempt") + 1,
            fence=lease.fence,
            worker=platform.worker,
            reason="",
            started_at=deployment.started_at or utcnow(),
        )
        if not won:
            await lease.release()
            return None
        # What was wrong with the live version is wrong until another one is live.
        await Service.filter(id=lease.service_id).update(status=ServiceStatus.DEPLOYING)
    await failpoint("claim:after")
    return lease


async def give_up(lease: ServiceLease, deployment_id: str) -> None:
    """Do not count an attempt that ended without a death: the next one starts where it did."""
    async with lease.fenced():
        await Deployment.filter(id=deployment_id).update(attempt=F("attempt") - 1)


async def prepare(platform: Platform, lease: ServiceLease, deployment_id: str, folder: Path) -> Run:
    """Gather what the attempt needs, and end what a former one left running."""
    deployment = await Deployment.get(id=deployment_id)
    service = await Service.get(id=lease.service_id)
    problem: HelvetiaError | None = None
    secrets: dict[str, str] = {}
    for_build: dict[str, str] = {}
    try:
        at = (service.id, service.environment_version, platform.vault)
        secrets = await environment.values(*at)
        for_build = await environment.values(*at, Scope.BUILD)
    except HelvetiaError as error:
        problem = error
    switched = await is_switched(deployment_id)
    # What a former attempt left running must not meet this one, dead or only slow.
    await asyncio.to_thread(kill_owned, owner_mark(platform, deployment_id))
    await collect_workspaces(platform)
    log = await LogWriter.open(
        platform.logs,
        f"deployment:{deployment.id}",
        redactor=Redactor(platform.settings.secrets.union(secrets.values())),
        notify=platform.hub.notify,
        max_bytes=platform.options.deployment_log_mb * 2**20,
    )
    return Run(
        platform=platform,
        lease=lease,
        deployment=deployment,
        service=service,
        log=log,
        workspace=folder,
        for_build=for_build,
        problem=problem,
        no_return=switched,
        switched=switched,
    )


async def is_switched(deployment_id: str) -> bool:
    """Tell whether the new version is live: committed together with its route's switch."""
    return await Instance.filter(id=deployment_id, status=InstanceStatus.LIVE).exists()
