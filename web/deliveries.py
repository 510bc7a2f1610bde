"""The webhook of a service, and what came to it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

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
    return await _index(visit, await load(visit), secrets=shown_once(visit))


async def _index(
    visit: Visit,
    service: Service,
    refusal: Refusal | None = None,
    typed: Mapping[str, str] | None = None,
    *,
    secrets: Mapping[str, Any] | None = None,
) -> web.Response:
    query = {"limit": 50, "cursor": visit.request.query.get("cursor")}
    found = await visit.ask("GET", _DELIVERIES, service=service, query=query)
    return await frame(
        visit, service, "service_deliveries.html", "deliveries",
        refusal=refusal, typed=typed or {}, is_live=not secrets,
        hook=await visit.ask_if_there("GET", _HOOK, service=service),
        secrets=secrets or {}, deliveries=found.items, next=found.next,
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


async def change_paths(visit: Visit) -> web.StreamResponse:
    """Change which files matter; the secrets stay."""
    service = await load(visit, Role.ADMIN)
    form = await visit.form()
    paths = [line.strip() for line in form.get("paths", "").splitlines() if line.strip()]
    try:
        await visit.ask("PATCH", _HOOK, service=service, body={"paths": paths})
    except REFUSALS as error:
        refusal = visit.refusal(error)
        # One of them, by its number, or all: there is one input for them.
        fields = {field.partition(".")[0]: text for field, text in refusal.fields.items()}
        return await _index(visit, service, replace(refusal, fields=fields), form)
    raise redirect(f"/services/{service.name}/deliveries", "webhook-paths")


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
