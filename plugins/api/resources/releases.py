"""Releases."""

from __future__ import annotations

from helvetia.kernel.http.access import Policy
from helvetia.kernel.http.context import Call
from helvetia.kernel.http.routing import Resource
from helvetia.kernel.models import Release, Service
from helvetia.plugins.api import schemas
from helvetia.plugins.api.pagination import PageQuery, page

resource = Resource("releases")


@resource.get("/api/v1/services/{service}/releases", policy=Policy.VIEWER, summary="List releases")
async def index(call: Call, service: Service, query: PageQuery) -> schemas.Page[schemas.Release]:
    """List the releases of a service, the newest first."""
    rows = Release.filter(service_id=service.id).order_by("-number").limit(query.wanted)
    if (number := query.number) is not None:
        rows = rows.filter(number__lt=number)

    def show(row: Release) -> schemas.Release:
        return schemas.Release(
            number=row.number,
            deployment_id=row.deployment_id,
            sha=row.sha,
            message=row.message,
            digest=str(row.artifact.get("digest", "")),
            environment_version=row.environment_version,
            is_live=row.id == service.live_release_id,
            created_at=row.created_at,
        )

    return page(query, await rows, key=lambda row: row.number, show=show)
