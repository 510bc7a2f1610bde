"""Ask for deployments and call them off. Only rows are written; workers find them."""

from __future__ import annotations

from dataclasses import dataclass

from tortoise.expressions import F, Subquery
from tortoise.transactions import in_transaction

from helvetia.kernel import events
from helvetia.kernel.errors import Conflict, InvalidInput, NotFound
from helvetia.kernel.failpoints import failpoint
from helvetia.kernel.models import (
    Deployment,
    DeploymentStatus,
    Desired,
    Instance,
    InstanceStatus,
    Release,
    Service,
    Trigger,
    utcnow,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class DeploymentRequest:
    """What somebody asks for.

    Attributes:
        action: `deploy`, `restart` or `rollback`; see `NewDeployment` of the API.
        ref: another branch, tag or commit than the service's own.
        source_url: another place than the service's own.
        release: number to roll back to; None for the one before the live one.
        idempotency_key: the same key asks for the same deployment.
        actor: user id.
    """

    action: str = "deploy"
    trigger: Trigger = Trigger.MANUAL
    ref: str | None = None
    source_url: str | None = None
    release: int | None = None
    idempotency_key: str | None = None
    actor: str = ""


async def enqueue(service: Service, request: DeploymentRequest) -> tuple[Deployment, bool]:
    """Queue a deployment; those of the service that still wait are superseded by it.

    Returns:
        The deployment, and whether it is new (False: the idempotency key was seen before).

    Raises:
        Conflict: the service is being deleted, or has nothing to run again.
        NotFound: there is no release of that number.
        InvalidInput: the request contradicts itself.
    """
    if request.action != "deploy" and (request.ref or request.source_url):
        raise InvalidInput("ref", f"a {request.action} runs an existing release; it has no ref")
    async with in_transaction():
        # Takes the row lock: the count below and the superseding must not interleave.
        await Service.filter(id=service.id).update(deployment_count=F("deployment_count") + 1)
        service = await Service.get(id=service.id)
        if service.desired is Desired.DELETED:
            raise Conflict(f"service {service.name} is being deleted")
        if request.idempotency_key:
            known = await Deployment.get_or_none(
                service_id=service.id, idempotency_key=request.idempotency_key
            )
            if known is not None:
                await Service.filter(id=service.id).update(
                    deployment_count=F("deployment_count") - 1
                )
                return known, False
        base = await _base_release(service, request)
        rollback = request.action == "rollback"
        deployment = await Deployment.create(
            service_id=service.id,
            number=service.deployment_count,
            trigger=Trigger.ROLLBACK if rollback else request.trigger,
            source_url=request.source_url or service.source_url,
            source_ref=request.ref or service.source_ref,
            base_release_id=base.id if base else None,
            reuse_configuration=rollback,
            sha=base.sha if base else "",
            message=base.message if base else "",
            idempotency_key=request.idempotency_key,
            created_by=request.actor or None,
        )
        await Service.filter(id=service.id).update(desired=Desired.RUNNING)
        await _supersede(service, deployment)
        await failpoint("enqueue:inside")
        await events.record(
            "deployment.queued",
            actor=request.actor,
            team_id=service.team_id,
            service_id=service.id,
            deployment_id=deployment.id,
            action=request.action,
        )
    await failpoint("enqueue:after")
    return deployment, True


def once_live(**only: str) -> Subquery:
    """Return the ids of releases that were live once: what never got healthy is nothing to go
    back to.

    Args:
        only: of which deployments, as `service_id`.
    """
    ended = (DeploymentStatus.LIVE, DeploymentStatus.ROLLED_BACK)
    return Subquery(Deployment.filter(status__in=ended, **only).values("release_id"))


async def _base_release(service: Service, request: DeploymentRequest) -> Release | None:
    if request.action == "deploy":
        return None
    releases = Release.filter(service_id=service.id).order_by("-number")
    live = await releases.get_or_none(id=service.live_release_id)
    if request.action == "restart":
        # A service that was stopped, or never got healthy, starts from its newest release.
        base = live or await releases.first()
        if base is None:
            raise Conflict(f"service {service.name} has no release yet", hint="deploy it first")
        return base
    if request.release is not None:
        base = await releases.get_or_none(number=request.release)
        if base is None:
            raise NotFound(
                f"service {service.name} has no release {request.release}",
                hint=f"see `helvetia releases {service.name}`",
            )
        return base
    if live is None:
        raise Conflict(f"service {service.name} has no live release to roll back from")
    sound = releases.filter(id__in=once_live(service_id=service.id))
    base = await sound.filter(number__lt=live.number).first()
    if base is None:
        raise Conflict(f"no release of {service.name} was live before release {live.number}")
    return base


async def _supersede(service: Service, newer: Deployment) -> None:
    waiting = await Deployment.filter(
        service_id=service.id, status=DeploymentStatus.QUEUED, number__lt=newer.number
    )
    for deployment in waiting:
        await Deployment.filter(id=deployment.id, status=DeploymentStatus.QUEUED).update(
            status=DeploymentStatus.SUPERSEDED,
            reason=f"deployment {newer.number} was asked for before this one began",
            reason_code="superseded",
            finished_at=utcnow(),
        )
        await events.record(
            "deployment.superseded",
            team_id=service.team_id,
            service_id=service.id,
            deployment_id=deployment.id,
        )


async def cancel(deployment: Deployment, *, actor: str) -> None:
    """Call a deployment off. One that waits ends at once, a running one within seconds.

    Raises:
        Conflict: it is over already, or its version is live.
    """
    async with in_transaction():
        if await Instance.filter(id=deployment.id, status=InstanceStatus.LIVE).exists():
            raise Conflict(
                f"the version of deployment {deployment.number} is live already",
                hint="roll back to have the former one again",
            )
        ended = await Deployment.filter(id=deployment.id, status=DeploymentStatus.QUEUED).update(
            status=DeploymentStatus.CANCELLED,
            reason="cancelled before it began",
            reason_code="cancelled",
            finished_at=utcnow(),
        )
        if not ended:
            asked = await Deployment.filter(
                id=deployment.id, status=DeploymentStatus.RUNNING
            ).update(cancel_requested=True)
            if not asked:
                raise Conflict(f"deployment {deployment.number} is over already")
        service = await Service.get(id=deployment.service_id)
        await events.record(
            "deployment.cancel-requested",
            actor=actor,
            team_id=service.team_id,
            service_id=deployment.service_id,
            deployment_id=deployment.id,
        )
