"""The list of services, and what is shown of one."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from aiohttp import web
from markupsafe import Markup

from helvetia.kernel.environment import current
from helvetia.kernel.models import Deployment, Instance, Release, Role, Service
from helvetia.plugins.api import schemas

from . import sparks
from .service_page import BUSY, CALM, NAV, current_deployment, frame, load
from .visit import Refusal, Visit

_SERVICES = 50
_PAGE = 25


@dataclass(frozen=True, slots=True)
class Row:
    """A service in the list: its newest deployment, and how it has been.

    Attributes:
        sha: commit of what is live, or of what was tried if nothing is.
        message: of that commit.
    """

    service: schemas.Service
    time: datetime
    sha: str
    message: str
    spark: Markup | None = None


async def index(visit: Visit) -> web.Response:
    """List the services."""
    cursor = visit.request.query.get("cursor")
    query = {"limit": _SERVICES, "cursor": cursor}
    found = await visit.ask("GET", "/api/v1/services", query=query)
    ids = [one.deployment_id for one in found.items if one.deployment_id]
    newest = {row.id: row for row in await _newest(ids)}
    graphs = await sparks.of_services(visit, cursor, _SERVICES)
    rows = [
        _row(one, newest.get(one.deployment_id or ""), graphs.get(one.name)) for one in found.items
    ]
    is_busy = any(one.status == "DEPLOYING" for one in found.items)
    home = await visit.caller.home_team()
    return visit.show(
        "services.html",
        nav=NAV,
        live=BUSY if is_busy else CALM,
        services=rows,
        more=found.next,
        may_create=bool(home) and visit.caller.may(Role.MEMBER, home),
    )


async def deployments(visit: Visit, refusal: Refusal | None = None) -> web.Response:
    """List the deployments of a service."""
    service = await load(visit)
    found = await visit.ask(
        "GET", "/api/v1/services/{service}/deployments", service=service, query=_page(visit)
    )
    return await frame(
        visit, service, "service_deployments.html", "deployments",
        refusal=refusal,
        deployments=found.items,
        next=found.next,
        current=await current_deployment(service),
    )  # fmt: skip


async def releases(visit: Visit) -> web.Response:
    """List the releases of a service."""
    service = await load(visit)
    found = await visit.ask(
        "GET", "/api/v1/services/{service}/releases", service=service, query=_page(visit)
    )
    return await frame(
        visit, service, "service_releases.html", "releases",
        releases=found.items, next=found.next,
    )  # fmt: skip


async def environment(visit: Visit) -> web.Response:
    """Show the names of the variables, and the form that sets them."""
    return await show_environment(visit, await load(visit))


async def show_environment(
    visit: Visit,
    service: Service,
    refusal: Refusal | None = None,
    typed: dict[str, str] | None = None,
) -> web.Response:
    """Show them, with what was typed if it was refused."""
    path = "/api/v1/services/{service}/environment"
    found = await visit.ask("GET", path, service=service, query={"limit": 100})
    return await frame(
        visit, service, "service_environment.html", "environment",
        refusal=refusal,
        is_live=False,
        variables=found.items,
        has_scopes=any(hasattr(one, "scopes") for one in found.items),
        outdated=await _is_outdated(service),
        typed=typed or {},
    )  # fmt: skip


async def instances(visit: Visit) -> web.Response:
    """Show what runs, as the runtime sees it now."""
    service = await load(visit)
    shown = await visit.ask("GET", "/api/v1/services/{service}", service=service)
    return await frame(
        visit, service, "instances_page.html", "", is_live=False, instances=shown.instances
    )


async def known_instances(service: Service) -> list[schemas.Instance]:
    """Return what is known to run, without asking the runtime, which may take its time."""
    rows = await Instance.filter(service_id=service.id).order_by("created_at", "id")
    ids = list({row.release_id for row in rows})
    found = await Release.filter(id__in=ids).only("id", "number") if ids else []
    numbers = {release.id: release.number for release in found}
    return [
        schemas.Instance(
            id=row.id,
            release=numbers.get(row.release_id, 0),
            status=row.status.value,
            reason="",
            restarts=0,
            address=f"{row.host}:{row.port}" if row.host else "",
            cpu_seconds=None,
            memory_bytes=None,
        )
        for row in rows
    ]


async def _is_outdated(service: Service) -> bool:
    """Tell whether the live release has other variables than the service."""
    if service.live_release_id is None:
        return False
    live = await Release.get_or_none(id=service.live_release_id).only("id", "environment_version")
    if live is None or live.environment_version == service.environment_version:
        return False
    before = await current(service.id, live.environment_version)
    now = await current(service.id, service.environment_version)
    return {n: row.version for n, row in before.items()} != {n: r.version for n, r in now.items()}


def _page(visit: Visit) -> dict[str, object]:
    return {"limit": _PAGE, "cursor": visit.request.query.get("cursor")}


async def _newest(ids: list[str]) -> list[Deployment]:
    fields = ("id", "created_at", "sha", "message")
    return await Deployment.filter(id__in=ids).only(*fields) if ids else []


def _row(service: schemas.Service, newest: Deployment | None, spark: Markup | None) -> Row:
    tried = newest if newest is not None and not service.release else None
    return Row(
        service,
        newest.created_at if newest else service.created_at,
        tried.sha if tried else service.sha,
        tried.message if tried else service.message,
        spark,
    )
