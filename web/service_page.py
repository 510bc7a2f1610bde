"""The frame of all pages of a service: its head, its tabs, and what was refused."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from helvetia.kernel.http.access import load_service
from helvetia.kernel.models import (
    OPEN_STATES,
    Deployment,
    DeploymentStatus,
    Role,
    Service,
    ServiceStatus,
)
from helvetia.plugins.api import summaries

from .visit import Refusal, Visit

NAV = "services"
BUSY, CALM = 1500, 5000
"""How often a page is looked at again, in milliseconds."""
# Name, title, and the endpoint without which, or without the right to which, there is no such tab.
_TABS = (
    ("", "Timeline", ""),
    ("deployments", "Deployments", ""),
    ("logs", "Logs", ""),
    ("metrics", "Metrics", "/api/v1/services/{service}/metrics"),
    ("shell", "Shell", "/api/v1/services/{service}/shell"),
    ("environment", "Environment", ""),
    ("domains", "Domains", ""),
    ("releases", "Releases", ""),
    ("previews", "Previews", "/api/v1/services/{service}/previews"),
    ("deliveries", "Webhook", "/api/v1/services/{service}/deliveries"),
    ("settings", "Settings", ""),
    ("danger", "Danger", ""),
)


async def load(visit: Visit, needed: Role = Role.VIEWER) -> Service:
    """Return the service that the path names."""
    return await load_service(visit.caller, visit.part("service"), needed)


async def frame(
    visit: Visit,
    service: Service,
    template: str,
    tab: str,
    *,
    refusal: Refusal | None = None,
    is_live: bool = True,
    **values: Any,
) -> web.Response:
    """Answer with a page of a service.

    Args:
        visit: the request.
        service: of which it is.
        template: file in `templates`.
        tab: which of the tabs.
        refusal: why something was not done.
        is_live: whether it is looked at again; not while somebody fills in a form.
        values: what the template shows.
    """
    shown = await summaries.summary(visit.platform, service.id)
    tabs = [
        (name, title)
        for name, title, needs in _TABS
        if not needs or visit.may("GET", needs, service.team_id)
    ]
    may = {
        "may_change": visit.caller.may(Role.MEMBER, service.team_id),
        "may_administer": visit.caller.may(Role.ADMIN, service.team_id),
    }
    period = BUSY if shown.status == ServiceStatus.DEPLOYING.value else CALM
    defaults: dict[str, Any] = {"errors": refusal.fields if refusal else {}, "typed": {}}
    return visit.show(
        template,
        nav=NAV,
        status=refusal.status if refusal else 200,
        live=period if is_live and refusal is None else 0,
        refusal=refusal,
        service=shown,
        tabs=tabs,
        tab=tab,
        tab_title=dict(tabs).get(tab, "") if tab else "",
        **{**defaults, **may, **values},
    )


async def current_deployment(service: Service) -> str:
    """Return the id of the deployment that is live, "" if there is none; those before it were."""
    if service.live_release_id is None or service.status is ServiceStatus.STOPPED:
        return ""
    live = Deployment.filter(service_id=service.id, status=DeploymentStatus.LIVE)
    newest = await live.order_by("-number").only("id").first()
    return newest.id if newest else ""


async def is_busy(service: Service) -> bool:
    """Tell whether a deployment is under way."""
    return await Deployment.exists(service_id=service.id, status__in=OPEN_STATES)
