"""What happened to a service."""

from __future__ import annotations

from datetime import UTC, datetime

from tortoise.expressions import Q

from helvetia.kernel.errors import InvalidInput
from helvetia.kernel.http.access import Policy
from helvetia.kernel.http.context import Call
from helvetia.kernel.http.routing import Resource
from helvetia.kernel.models import Event, Service
from helvetia.plugins.api import schemas
from helvetia.plugins.api.pagination import PageQuery, page

resource = Resource("events")


@resource.get("/api/v1/services/{service}/events", policy=Policy.VIEWER, summary="List events")
async def index(call: Call, service: Service, query: PageQuery) -> schemas.Page[schemas.Event]:
    """List what happened to a service, the newest first."""
    rows = Event.filter(service_id=service.id).order_by("-created_at", "-id").limit(query.wanted)
    if after := query.after:
        time, last_id = _position(after)
        rows = rows.filter(Q(created_at__lt=time) | Q(created_at=time, id__lt=last_id))
    return page(query, await rows, key=_key, show=_show)


def _key(row: Event) -> str:
    return f"{row.created_at.astimezone(UTC).isoformat()} {row.id}"


def _position(key: str) -> tuple[datetime, str]:
    time, _, last_id = key.partition(" ")
    try:
        parsed = datetime.fromisoformat(time)
    except ValueError:
        raise InvalidInput("cursor", "is not one that a page gave") from None
    if parsed.tzinfo is None or not last_id.isalnum():
        raise InvalidInput("cursor", "is not one that a page gave")
    return parsed.astimezone(UTC), last_id


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
