"""Deployments."""

from __future__ import annotations

import re

from helvetia.kernel.errors import Conflict, InvalidInput, NotFound
from helvetia.kernel.http.access import Policy
from helvetia.kernel.http.context import Call
from helvetia.kernel.http.routing import Reply, Resource
from helvetia.kernel.models import Deployment, Service
from helvetia.kernel.pipeline import queue
from helvetia.plugins.api import schemas, services, views
from helvetia.plugins.api.pagination import PageQuery, page

_KEY = "Idempotency-Key"
_KEY_FORM = re.compile(r"[\x21-\x7e]{1,200}")
resource = Resource("deployments")


@resource.get(
    "/api/v1/services/{service}/deployments", policy=Policy.VIEWER, summary="List deployments"
)
async def index(call: Call, service: Service, query: PageQuery) -> schemas.Page[schemas.Deployment]:
    """List the deployments of a service, the newest first."""
    rows = Deployment.filter(service_id=service.id).order_by("-number").limit(query.wanted)
    if (number := query.number) is not None:
        rows = rows.filter(number__lt=number)
    shown = await views.deployments(call.platform, await rows, {service.id: service.name})
    return page(query, shown, key=lambda one: one.number, show=lambda one: one)


@resource.post(
    "/api/v1/services/{service}/deployments",
    policy=Policy.MEMBER,
    summary="Deploy a service",
    status=201,
    also={200: "The deployment that was asked for with the same key before"},
    headers={_KEY: "the same key asks for the same deployment; visible ASCII, at most 200 long"},
    errors=[Conflict, NotFound],
    purpose="deploy",
)
async def create(
    call: Call, service: Service, body: schemas.NewDeployment
) -> Reply[schemas.Deployment]:
    """Queue a deployment. Those of the service that still wait are superseded by it."""
    if body.source is not None:
        trusted = services.may_name_paths(call.platform, is_operator=call.user.is_operator)
        services.check_source(service, body.source, trusted=trusted)
    if body.release is not None and body.action != "rollback":
        raise InvalidInput("release", "is for the action rollback only")
    request = queue.DeploymentRequest(
        action=body.action,
        ref=body.ref,
        source_url=body.source,
        release=body.release,
        idempotency_key=_idempotency_key(call),
        actor=call.user.id,
    )
    deployment, is_new = await queue.enqueue(service, request)
    await call.context.ring(deployment.id)
    shown = await views.deployment(call.platform, deployment, service.name)
    return Reply(value=shown, status=201 if is_new else 200)


@resource.get("/api/v1/deployments/{deployment}", policy=Policy.VIEWER, summary="Show a deployment")
async def show(call: Call, deployment: Deployment) -> schemas.Deployment:
    """Show a deployment with its stages."""
    return await views.deployment(call.platform, deployment, deployment.service.name)


@resource.post(
    "/api/v1/deployments/{deployment}/cancel",
    policy=Policy.MEMBER,
    summary="Cancel a deployment",
    status=202,
    errors=[Conflict],
)
async def cancel(call: Call, deployment: Deployment) -> schemas.Deployment:
    """Call a deployment off: one that waits ends at once, a running one within seconds."""
    await queue.cancel(deployment, actor=call.user.id)
    name = deployment.service.name
    return await views.deployment(call.platform, await Deployment.get(id=deployment.id), name)


def _idempotency_key(call: Call) -> str | None:
    key = call.request.headers.get(_KEY)
    if key is not None and not _KEY_FORM.fullmatch(key):
        raise InvalidInput(_KEY, "must be 1 to 200 visible ASCII characters")
    return key
