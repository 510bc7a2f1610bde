"""What happened to a service."""

from __future__ import annotations

from helvetia.kernel.http.access import Policy
from helvetia.kernel.http.context import Call
from helvetia.kernel.http.routing import Resource
from helvetia.kernel.models import Event, Service
from helvetia.plugins.api import schemas
from helvetia.plugins.api.pagination import PageQuery, page_of_newest

resource = Resource("events")


@resource.get("/api/v1/services/{service}/events", policy=Policy.VIEWER, summary="List events")
async def index(call: Call, service: Service, query: PageQuery) -> schemas.Page[schemas.Event]:
    """List what happened to a service, the newest first."""
    return await page_of_newest(query, Event.filter(service_id=service.id), show=_show)


def _show(row: Event) -> schemas.Event:
    return schemas.Event(
        id=row.id,
        kind=row.kind,
        time=row.created_at,
        actor=row.actor,
        service_id=row.service_id,
        deployment_id=row.deployment_id,
        data={name: str(value) for name, value in row.data.items()},
    )
