"""Who works for the installation, and what waits for them."""

from __future__ import annotations

from helvetia.kernel.http.access import Policy
from helvetia.kernel.http.context import Call
from helvetia.kernel.http.routing import Resource
from helvetia.kernel.models import Deployment, DeploymentStatus, Worker
from helvetia.kernel.presence import demand, is_alive
from helvetia.kernel.settings import split_labels
from helvetia.plugins.api import schemas
from helvetia.plugins.api.pagination import PageQuery, page_of_all

_SHOWN = 100
resource = Resource("workers")


@resource.get("/api/v1/workers", policy=Policy.OPERATOR, summary="List workers")
async def index(call: Call, query: PageQuery) -> schemas.Page[schemas.Worker]:
    """List the workers with what each runs; `silent` are those that were killed or cut off."""
    running: dict[str | None, list[schemas.Job]] = {}
    rows = Deployment.filter(status=DeploymentStatus.RUNNING).order_by("started_at")
    for row in await rows.select_related("service"):
        job = schemas.Job(id=row.id, service=row.service.name, number=row.number)
        running.setdefault(row.worker, []).append(job)
    shown = [
        schemas.Worker(
            name=worker.name,
            host=worker.host,
            version=worker.version,
            status="alive" if is_alive(worker) else "silent",
            labels=split_labels(worker.labels),
            concurrency=worker.concurrency,
            running=running.get(worker.name, []),
            started_at=worker.created_at,
            seen_at=worker.seen_at,
        )
        for worker in await Worker.all()
    ]
    return page_of_all(query, shown, key=lambda worker: worker.name)


@resource.get("/api/v1/queue", policy=Policy.OPERATOR, summary="Show the queue")
async def queue(call: Call) -> schemas.Queue:
    """Show how many deployments wait and run, and the first 100 that wait, oldest first."""
    waiting = Deployment.filter(status=DeploymentStatus.QUEUED)
    rows = await waiting.order_by("created_at").limit(_SHOWN).select_related("service")
    options = call.platform.options
    brokers = call.platform.providers.brokers
    entry = brokers.preferred()
    check = await brokers.check(entry) if entry else None
    return schemas.Queue(
        waiting=await waiting.count(),
        running=await Deployment.filter(status=DeploymentStatus.RUNNING).count(),
        broker=entry.name if entry else "",
        broker_ok=check is None or check.ok,
        broker_reason=check.reason if check else "none is set: workers look for work each second",
        next=[
            schemas.Waiting(
                id=row.id,
                service=row.service.name,
                number=row.number,
                labels=sorted(demand(row.service.type, row.service.settings, options)),
                reason=row.reason,
                created_at=row.created_at,
            )
            for row in rows
        ],
    )
