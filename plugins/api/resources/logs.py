"""Logs of deployments and services: in pages, or followed over a WebSocket."""

from __future__ import annotations

from aiohttp import web
from pydantic import Field

from helvetia.kernel.errors import InvalidInput
from helvetia.kernel.http.access import Policy
from helvetia.kernel.http.context import Call
from helvetia.kernel.http.problems import BadRequest
from helvetia.kernel.http.routing import Resource
from helvetia.kernel.models import Deployment, Service, utcnow
from helvetia.plugins.api import inputs, instance_logs, schemas
from helvetia.plugins.api.sockets import serve_log

_PAGE_BYTES = 1024 * 1024
_MAX_SEQ = 2**62
resource = Resource("logs")


class FollowQuery(inputs.Body):
    """Where to begin."""

    after: int = Field(0, ge=0, le=_MAX_SEQ, description="number of the last record known")


class LogQuery(FollowQuery):
    """Which records."""

    limit: int = Field(500, ge=1, le=5000, description="most records of the page")
    tail: int | None = Field(None, ge=1, le=5000, description="the last records instead")


class OfInstance(inputs.Body):
    """Whose records."""

    instance: str | None = Field(
        None,
        pattern=r"^[0-9a-f]{4,32}$",
        description="only what this one wrote: its id, or the first four digits of it",
    )


class RuntimeFollowQuery(FollowQuery, OfInstance):
    """Where to begin, and whose records."""


class RuntimeLogQuery(LogQuery, OfInstance):
    """Which records, and whose."""


@resource.get(
    "/api/v1/deployments/{deployment}/logs", policy=Policy.VIEWER, summary="Read a build log"
)
async def of_deployment(call: Call, deployment: Deployment, query: LogQuery) -> schemas.LogPage:
    """Read the log of a deployment. A page may end early when its records are long."""
    ended = _is_over(deployment)
    return await _page(call, f"deployment:{deployment.id}", query, ended=ended)


@resource.get("/api/v1/services/{service}/logs", policy=Policy.VIEWER, summary="Read a runtime log")
async def of_service(call: Call, service: Service, query: RuntimeLogQuery) -> schemas.LogPage:
    """Read what the instances of a service write, or one of them.

    `last` is the number up to which was looked, whoever wrote it.
    """
    log = f"service:{service.id}"
    return await _page(call, log, query, ended=False, instance=query.instance)


@resource.get(
    "/api/v1/deployments/{deployment}/logs/follow",
    policy=Policy.VIEWER,
    summary="Follow a build log",
    status=101,
    websocket=True,
    media="",
    errors=[BadRequest],
)
async def follow_deployment(
    call: Call, deployment: Deployment, query: FollowQuery
) -> web.WebSocketResponse:
    """Follow the log of a deployment over a WebSocket.

    Frames are JSON text: `{"records": [LogRecord], "skipped": 0}` and, after the last record,
    `{"ended": true, "status": "LIVE"}`; then the connection is closed.
    """

    async def now() -> Deployment | None:
        return await Deployment.get_or_none(id=deployment.id).select_related("service")

    async def ended() -> bool:
        row = await now()
        return row is None or _is_over(row)

    async def status() -> str:
        row = await now()
        return row.status.value if row else "DELETED"

    return await serve_log(
        call, f"deployment:{deployment.id}", after=query.after, ended=ended, status=status
    )


@resource.get(
    "/api/v1/services/{service}/logs/follow",
    policy=Policy.VIEWER,
    summary="Follow a runtime log",
    status=101,
    websocket=True,
    media="",
    errors=[BadRequest],
)
async def follow_service(
    call: Call, service: Service, query: RuntimeFollowQuery
) -> web.WebSocketResponse:
    """Follow the runtime log of a service, or of one instance, until the service is deleted.

    Frames are as those of a deployment's log.
    """

    async def ended() -> bool:
        return not await Service.exists(id=service.id)

    async def status() -> str:
        return "DELETED"

    return await serve_log(
        call,
        f"service:{service.id}",
        after=query.after,
        ended=ended,
        status=status,
        instance=query.instance,
    )


def _is_over(deployment: Deployment) -> bool:
    """Tell whether nothing will be written any more.

    The worker closes the log after the end of the deployment and before it gives the lease
    back, so a final status alone is not enough.
    """
    if not deployment.status.is_final:
        return False
    service = deployment.service
    is_held = service.lease_until is not None and service.lease_until > utcnow()
    return not (is_held and service.fence == deployment.fence)


async def _page(
    call: Call, log: str, query: LogQuery, *, ended: bool, instance: str | None = None
) -> schemas.LogPage:
    store = call.platform.logs
    skipped = 0
    if query.tail is not None:
        if query.after or "limit" in query.model_fields_set:
            raise InvalidInput("tail", "cannot be combined with after or limit")
        if instance:
            records, last = await instance_logs.tail(store, log, instance, query.tail)
        else:
            records = await store.tail(log, query.tail)
            last = records[-1].seq if records else 0
    elif instance:
        records, last, skipped = await instance_logs.read(
            store, log, instance, after=query.after, limit=query.limit, max_bytes=_PAGE_BYTES
        )
    else:
        records = await store.read(log, query.after, query.limit, max_bytes=_PAGE_BYTES)
        skipped = records[0].seq - query.after - 1 if records else 0
        last = records[-1].seq if records else query.after
    return schemas.LogPage(
        records=[schemas.LogRecord(**record.json()) for record in records],
        last=last,
        skipped=skipped,
        ended=ended and last >= await store.last_seq(log),
    )
