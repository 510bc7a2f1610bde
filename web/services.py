"""Pages and buttons of services."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime

from aiohttp import web

from helvetia import HelvetiaError
from helvetia.kernel.http.access import load_service
from helvetia.kernel.http.context import Call
from helvetia.kernel.models import Deployment, DeploymentStatus, Role, Service, ServiceStatus
from helvetia.plugins.api import schemas
from helvetia.plugins.api.pagination import PageQuery
from helvetia.plugins.api.resources import (
    deployments,
    domains,
    environment,
    events,
    logs,
    releases,
    services,
)

from .visit import Visit

LOG_LINES = 500
_SHORT = PageQuery(limit=12, cursor=None)
_WHOLE = PageQuery(limit=100, cursor=None)
_NAV = "services"


@dataclass(frozen=True, slots=True)
class Row:
    """A service in the list, and when something was last done to it."""

    service: schemas.Service
    time: datetime


async def index(visit: Visit) -> web.Response:
    """List the services."""
    query = PageQuery(limit=100, cursor=visit.request.query.get("cursor"))
    found = await services.index(visit.call, query)
    newest = [one.deployment_id for one in found.items if one.deployment_id]
    times = {row.id: row.created_at for row in await _times(newest)}
    rows = [Row(one, times.get(one.deployment_id or "", one.created_at)) for one in found.items]
    return visit.show("services.html", nav=_NAV, live=True, services=rows, more=found.next)


async def show(visit: Visit) -> web.Response:
    """Show a service."""
    service = await load_service(visit.caller, visit.part("service"), Role.VIEWER)
    return await _show(visit, service)


async def log(visit: Visit) -> web.Response:
    """Show what the instances of a service write."""
    service = await load_service(visit.caller, visit.part("service"), Role.VIEWER)
    lines = await logs.of_service(visit.call, service, logs.LogQuery(tail=LOG_LINES))
    return visit.show(
        "service_log.html",
        nav=_NAV,
        live=False,
        service=service,
        records=lines.records,
        skipped=lines.records[0].seq - 1 if lines.records else 0,
    )


async def deploy(visit: Visit) -> web.StreamResponse:
    """Deploy the newest commit."""
    return await _act(visit, _queue(schemas.NewDeployment(action="deploy")))


async def restart(visit: Visit) -> web.StreamResponse:
    """Run the live release again."""
    return await _act(visit, _queue(schemas.NewDeployment(action="restart")))


async def rollback(visit: Visit) -> web.StreamResponse:
    """Bring back a release."""
    number = (await visit.request.post()).get("release")
    wanted = schemas.NewDeployment(action="rollback", release=number)
    return await _act(visit, _queue(wanted))


async def start(visit: Visit) -> web.StreamResponse:
    """Start a stopped service."""
    return await _act(visit, services.start)


async def stop(visit: Visit) -> web.StreamResponse:
    """Stop a service."""
    return await _act(visit, services.stop)


Action = Callable[[Call, Service], Awaitable[schemas.Deployment | schemas.Service]]


def _queue(wanted: schemas.NewDeployment) -> Action:
    async def ask(call: Call, service: Service) -> schemas.Deployment:
        return (await deployments.create(call, service, wanted)).value

    return ask


async def _act(visit: Visit, action: Action) -> web.StreamResponse:
    """Do something to a service and lead to what came of it, or say on its page why not."""
    service = await load_service(visit.caller, visit.part("service"), Role.MEMBER)
    try:
        done = await action(visit.call, service)
    except HelvetiaError as error:
        return await _show(visit, service, error)
    if isinstance(done, schemas.Deployment):
        raise web.HTTPSeeOther(f"/deployments/{done.id}")
    raise web.HTTPSeeOther(f"/services/{service.name}")


async def _show(visit: Visit, service: Service, error: HelvetiaError | None = None) -> web.Response:
    call = visit.call
    past = (await releases.index(call, service, _SHORT)).items
    return visit.show(
        "service.html",
        nav=_NAV,
        status=error.status if error else 200,
        live=error is None,
        problem=" ".join(filter(None, (error.message, error.hint))) if error else "",
        may_change=visit.caller.may(Role.MEMBER, service.team_id),
        service=await services.show(call, service),
        deployments=(await deployments.index(call, service, _SHORT)).items,
        releases=past,
        has_releases=bool(past),
        current=await current_deployment(service),
        domains=(await domains.index(call, service, _WHOLE)).items,
        variables=(await environment.index(call, service, _WHOLE)).items,
        events=(await events.index(call, service, _SHORT)).items,
    )


async def current_deployment(service: Service) -> str:
    """Return the id of the deployment that is live, "" if there is none; those before it were."""
    if service.live_release_id is None or service.status is ServiceStatus.STOPPED:
        return ""
    live = Deployment.filter(service_id=service.id, status=DeploymentStatus.LIVE)
    newest = await live.order_by("-number").only("id").first()
    return newest.id if newest else ""


async def _times(ids: list[str]) -> list[Deployment]:
    return await Deployment.filter(id__in=ids).only("id", "created_at") if ids else []
