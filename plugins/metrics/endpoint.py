"""What was measured, at once or live."""

from __future__ import annotations

import asyncio
import time
from datetime import timedelta

from aiohttp import web
from tortoise.exceptions import IntegrityError

from helvetia import Call, Policy, Resource
from helvetia.kernel.http.problems import BadRequest
from helvetia.kernel.models import Deployment, Service, utcnow
from helvetia.plugins.api.pagination import PageQuery, encode_cursor
from helvetia.plugins.api.schemas import Page
from helvetia.plugins.api.sockets import listen, send_frame, serve_socket

from . import shapes, views
from .models import Watch
from .settings import MetricsSettings

_WATCHED = timedelta(seconds=60)
_STALE = timedelta(seconds=30)
_LIVE_SECONDS = 300
resource = Resource("metrics")


@resource.get("/api/v1/metrics", policy=Policy.SIGNED_IN, summary="Show the last hour of services")
async def overview(call: Call, query: PageQuery) -> Page[shapes.Sparkline]:
    """Show the last hour of all services by minutes, ordered by name; a minute or so late."""
    rows = Service.filter(name__gt=query.after).order_by("name").limit(query.wanted)
    if (teams := call.caller.visible_teams) is not None:
        rows = rows.filter(team_id__in=teams)
    services = [(id, name) for id, name in await rows.values_list("id", "name")]
    items = await views.sparklines(services[: query.limit])
    more = len(services) > query.limit
    return Page(items=items, next=encode_cursor(items[-1].service) if more else None)


@resource.get(
    "/api/v1/services/{service}/metrics", policy=Policy.VIEWER, summary="Show the metrics"
)
async def show(call: Call, service: Service, query: shapes.MetricsQuery) -> shapes.ServiceMetrics:
    """Show what the instances of a service used, and how they answered."""
    await _watch(service.id)
    return await views.series(service.id, query.range)


@resource.get(
    "/api/v1/services/{service}/metrics/live",
    policy=Policy.VIEWER,
    summary="Follow the metrics",
    status=101,
    websocket=True,
    media="",
    errors=[BadRequest],
)
async def live(call: Call, service: Service) -> web.WebSocketResponse:
    """Follow the newest points over a WebSocket.

    Frames are JSON text: `{"points": [MetricPoint]}`, first those of the last five minutes. A point
    that comes again has become more exact.
    """
    seconds = call.platform.section(MetricsSettings).seconds

    async def deliver(socket: web.WebSocketResponse) -> None:
        last, sent = int(time.time()) - _LIVE_SECONDS, ""
        while await Service.exists(id=service.id):
            await _watch(service.id)
            found = await views.series(service.id, "hour", after=last - 1)
            text = found.model_dump_json(include={"points"})
            if found.points and text != sent:
                sent, last = text, found.points[-1].time
                points = [point.model_dump() for point in found.points]
                await send_frame(socket, {"points": points})
            await asyncio.sleep(seconds)

    return await serve_socket(call, deliver, listen)


@resource.get(
    "/api/v1/services/{service}/metrics/deployments",
    policy=Policy.VIEWER,
    summary="Show how long deployments took",
)
async def deployments(call: Call, service: Service, query: PageQuery) -> Page[shapes.DeployTime]:
    """Show how long each deployment took by its stages, the newest first."""
    rows = Deployment.filter(service_id=service.id).order_by("-number").limit(query.wanted)
    if query.number is not None:
        rows = rows.filter(number__lt=query.number)
    found = await rows
    items = await views.deploy_times(found[: query.limit])
    more = len(found) > query.limit
    return Page(items=items, next=encode_cursor(found[query.limit - 1].number) if more else None)


async def _watch(service_id: str) -> None:
    """Have what is measured written at once for a while."""
    now = utcnow()
    watched = Watch.filter(id=service_id)
    if await watched.filter(until__gt=now + _STALE).exists():
        return
    if not await watched.update(until=now + _WATCHED):
        try:
            await Watch.create(id=service_id, until=now + _WATCHED)
        except IntegrityError:
            return  # somebody else looks as well
