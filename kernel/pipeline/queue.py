"""Ask for deployments and call them off. Only rows are written; workers find them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from tortoise.exceptions import DoesNotExist
from tortoise.expressions import Subquery
from tortoise.transactions import in_transaction

from helvetia.kernel import events
from helvetia.kernel.database.rows import fetch, insert
from helvetia.kernel.errors import Conflict, InvalidInput, NotFound
from helvetia.kernel.events import ORIGIN, Origin
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
    new_id,
    utcnow,
)
from helvetia.kernel.models import Event as EventRow

_SERVICE = 'SELECT * FROM "service" WHERE "id" = ?'
_SUPERSEDE = """
UPDATE "deployment" SET "status" = ?, "reason" = ?, "reason_code" = ?, "finished_at" = ?
WHERE "service_id" = ? AND "status" = 'QUEUED' RETURNING "id"
"""
_COUNT = """UPDATE "service" SET "deployment_count" = ?, "desired" = 'running' WHERE "id" = ?"""


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
        origin: the request that asks, for the journal.
    """

    action: str = "deploy"
    trigger: Trigger = Trigger.MANUAL
    ref: str | None = None
    source_url: str | None = None
    release: int | None = None
    idempotency_key: str | None = None
    actor: str = ""
    origin: Origin = field(default_factory=lambda: ORIGIN.get(Origin()), compare=False)


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
        service = await hold(service.id)
        if service.desired is Desired.DELETED:
            raise Conflict(f"service {service.name} is being deleted")
        if request.idempotency_key:
            known = await Deployment.get_or_none(
                service_id=service.id, idempotency_key=request.idempotency_key
            )
            if known is not None:
                return known, False
        base = await _base_release(service, request)
        (id,) = await enqueue_all(service, [request], base)
        deployment = await Deployment.get(id=id)
        await failpoint("enqueue:inside")
    await failpoint("enqueue:after")
    return deployment, True


async def hold(service_id: str) -> Service:
    """Return a service; until the caller's transaction ends nobody else queues for it.

    Raises:
        DoesNotExist: it is gone.
    """
    for row in await fetch(_SERVICE, service_id, hold=True):
        return Service._init_from_db(**row)
    raise DoesNotExist(Service)


async def enqueue_all(
    service: Service, requests: Sequence[DeploymentRequest], base: Release | None = None
) -> list[str]:
    """Queue deployments, in order, for a service that is held; only the last of them will run.

    Args:
        base: whose artifact is used again.

    Returns:
        Their ids.
    """
    if not requests:
        return []
    count = service.deployment_count + len(requests)
    gone = {
        "status": DeploymentStatus.SUPERSEDED,
        "reason": f"deployment {count} was asked for before this one began",
        "reason_code": "superseded",
        "finished_at": utcnow(),
    }
    older = [row["id"] for row in await fetch(_SUPERSEDE, *gone.values(), service.id)]
    made: list[dict[str, Any]] = []
    for number, request in enumerate(requests, service.deployment_count + 1):
        rollback = request.action == "rollback"
        row = {
            "id": new_id(),
            "service_id": service.id,
            "number": number,
            "trigger": Trigger.ROLLBACK if rollback else request.trigger,
            "source_url": request.source_url or service.source_url,
            "source_ref": request.ref or service.source_ref,
            "base_release_id": base.id if base else None,
            "reuse_configuration": rollback,
            "sha": base.sha if base else "",
            "message": base.message if base else "",
            "idempotency_key": request.idempotency_key,
            "created_by": request.actor or None,
        }
        made.append(row if number == count else row | gone)
    ids = [row["id"] for row in made]
    await insert(Deployment, made)
    await fetch(_COUNT, count, service.id)
    entry = partial(events.entry, team_id=service.team_id, service_id=service.id)
    entries = []
    for id, request in zip(ids, requests, strict=True):
        more = {"deployment_id": id, "data": {"action": request.action}}
        entries.append(entry("deployment.queued", request.origin, actor=request.actor, **more))
    for id in older + ids[:-1]:
        entries.append(entry("deployment.superseded", request.origin, deployment_id=id))
    await insert(EventRow, entries)
    return ids


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
