"""The webhook of a service, and what came to it."""

from __future__ import annotations

from aiohttp import web

from helvetia.kernel.models import Role, Service

from .acts import Question, question
from .once import show_once, shown_once
from .said import redirect
from .service_page import frame, load
from .visit import REFUSALS, Refusal, Visit

_HOOK = "/api/v1/services/{service}/webhook"
_DELIVERIES = "/api/v1/services/{service}/deliveries"


async def index(visit: Visit) -> web.Response:
    """Show the webhook and the deliveries, and secrets that were just made."""
    service = await load(visit)
    secrets = shown_once(visit)
    query = {"limit": 50, "cursor": visit.request.query.get("cursor")}
    found = await visit.ask("GET", _DELIVERIES, service=service, query=query)
    return await frame(
        visit, service, "service_deliveries.html", "deliveries",
        is_live=not secrets,
        hook=await visit.ask_if_there("GET", _HOOK, service=service),
        secrets=secrets, deliveries=found.items, next=found.next,
    )  # fmt: skip


async def show(visit: Visit) -> web.Response:
    """Show a delivery with its headers and its body."""
    return await _show(visit, await load(visit, Role.MEMBER))


async def replay(visit: Visit) -> web.StreamResponse:
    """Do again what a delivery asked for."""
    service = await load(visit, Role.MEMBER)
    path, wanted = f"{_DELIVERIES}/{{delivery}}/replay", visit.part("delivery")
    try:
        made = await visit.ask("POST", path, service=service, delivery=wanted)
    except REFUSALS as error:
        return await _show(visit, service, visit.refusal(error))
    raise redirect(f"/services/{service.name}/deliveries/{made.id}")


async def make(visit: Visit) -> web.StreamResponse:
    """Make the webhook, or new secrets for it, which the page then shows once."""
    service = await load(visit, Role.ADMIN)
    hook = await visit.ask_if_there("GET", _HOOK, service=service)
    paths = hook.paths if hook else []
    made = await visit.ask("POST", _HOOK, service=service, body={"paths": paths})
    path = f"/services/{service.name}/deliveries"
    raise show_once(visit, path, secret=made.secret, deploy_url=made.deploy_url)


async def ask_renew(visit: Visit) -> web.Response:
    """Ask whether to make new secrets."""
    service = await load(visit, Role.ADMIN)
    path = f"/services/{service.name}"
    lines = ("The former ones are void at once. The address stays the same.",)
    asked = Question(title="Make new secrets for the webhook?", lines=lines, label="Make them",
                     action=f"{path}/webhook", back=f"{path}/deliveries")  # fmt: skip
    return question(visit, asked)


async def ask_remove(visit: Visit) -> web.Response:
    """Ask whether to remove the webhook."""
    service = await load(visit, Role.ADMIN)
    path = f"/services/{service.name}"
    lines = ("Pushes deploy nothing any more. The deliveries that came stay to be seen.",)
    asked = Question(title=f"Remove the webhook of {service.name}?", lines=lines,
                     label="Remove it", action=f"{path}/webhook/remove",
                     back=f"{path}/deliveries")  # fmt: skip
    return question(visit, asked)


async def remove(visit: Visit) -> web.StreamResponse:
    """Remove the webhook."""
    service = await load(visit, Role.ADMIN)
    await visit.ask("DELETE", _HOOK, service=service)
    raise redirect(f"/services/{service.name}/deliveries", "webhook-removed")


async def _show(visit: Visit, service: Service, refusal: Refusal | None = None) -> web.Response:
    path = f"{_DELIVERIES}/{{delivery}}"
    found = await visit.ask("GET", path, service=service, delivery=visit.part("delivery"))
    return await frame(
        visit, service, "delivery.html", "deliveries", refusal=refusal, delivery=found
    )
