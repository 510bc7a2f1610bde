"""What people do with hooks and deliveries."""

from __future__ import annotations

import json
from typing import Any

from tortoise.queryset import QuerySet
from tortoise.transactions import in_transaction

from helvetia import Call, Policy, Resource
from helvetia.kernel import events, secrets
from helvetia.kernel.errors import Conflict, NotFound
from helvetia.kernel.http.origin import own_origin
from helvetia.kernel.models import Delivery, Service
from helvetia.plugins.api.pagination import PageQuery, page_of_newest
from helvetia.plugins.api.schemas import Page

from . import inbox, shapes
from .hooks import place
from .models import Webhook

_HOOK = "/api/v1/services/{service}/webhook"
_DELIVERIES = "/api/v1/services/{service}/deliveries"
_LISTED = ("id", "event", "verdict", "reason", "deployment_id", "headers", "created_at")
resource = Resource("webhooks")


@resource.get(_HOOK, policy=Policy.VIEWER, summary="Show the webhook", errors=[NotFound])
async def show(call: Call, service: Service) -> shapes.Webhook:
    """Show the hook of a service, without its secrets."""
    return _shown(call, await _hook(service))


@resource.post(_HOOK, policy=Policy.ADMIN, summary="Make the webhook", status=201)
async def create(call: Call, service: Service, body: shapes.NewWebhook) -> shapes.Webhook:
    """Make the hook of a service, or new secrets for it. `secret` and `deploy_url` are shown once.

    The address stays the same; the former secrets are void at once.
    """
    secret, key = secrets.new_token("hvw"), secrets.new_token("hvd")
    values: dict[str, Any] = {
        "secret": call.platform.vault.encrypt(secret, place=place(service.id)),
        "deploy_digest": secrets.digest(key),
        "paths": list(body.paths),
    }
    async with in_transaction():
        # Takes the row lock: two at once must not both find none.
        await Service.filter(id=service.id).update(name=service.name)
        if not await Webhook.filter(service_id=service.id).update(**values):
            await Webhook.create(service_id=service.id, **values)
        await _record("webhook.made", call, service)
    deploy_url = f"{own_origin(call.request)}/deploy-hooks/{key}"
    made = {"secret": secret, "deploy_url": deploy_url}
    return _shown(call, await _hook(service)).model_copy(update=made)


@resource.patch(_HOOK, policy=Policy.ADMIN, summary="Change the webhook", errors=[NotFound])
async def change(call: Call, service: Service, body: shapes.WebhookChange) -> shapes.Webhook:
    """Change which files matter, from the next push on; the secrets stay."""
    hook = await _hook(service)
    async with in_transaction():
        await Webhook.filter(id=hook.id).update(paths=list(body.paths))
        before, after = json.dumps({"paths": hook.paths}), json.dumps({"paths": body.paths})
        await _record("webhook.changed", call, service, before=before, after=after)
    return _shown(call, await _hook(service))


@resource.delete(
    _HOOK, policy=Policy.ADMIN, summary="Remove the webhook", status=204, errors=[NotFound]
)
async def remove(call: Call, service: Service) -> None:
    """Take no deliveries for a service any more; those that came stay to be seen."""
    async with in_transaction():
        if not await Webhook.filter(service_id=service.id).delete():
            raise _none(service)
        await _record("webhook.removed", call, service)


@resource.get(_DELIVERIES, policy=Policy.VIEWER, summary="List deliveries")
async def deliveries(call: Call, service: Service, query: PageQuery) -> Page[shapes.Delivery]:
    """List what Git hosts sent for a service, the newest first; the last hundred are kept."""
    return await page_of_newest(query, _of(service).only(*_LISTED), show=_told)


@resource.get(
    f"{_DELIVERIES}/{{delivery}}",
    policy=Policy.MEMBER,
    summary="Show a delivery",
    errors=[NotFound],
)
async def delivery(call: Call, service: Service, delivery: str) -> shapes.DeliveryDetail:
    """Show a delivery with its headers and its body."""
    row = await _delivery(service, delivery)
    return shapes.DeliveryDetail(
        **_told(row).model_dump(),
        headers=row.headers,
        body=bytes(row.body).decode("utf-8", "replace"),
    )


@resource.post(
    f"{_DELIVERIES}/{{delivery}}/replay",
    policy=Policy.MEMBER,
    summary="Replay a delivery",
    status=201,
    errors=[Conflict, NotFound],
    purpose="deploy",
)
async def replay(call: Call, service: Service, delivery: str) -> shapes.Delivery:
    """Do again what a delivery asked for: the same commit, by the rules of now."""
    old = await _delivery(service, delivery)
    made = await inbox.replay(await _hook(service), old, actor=call.user.id)
    if made.rings:
        await call.context.ring(made.rings)
    return _told(await _delivery(service, made.id))


async def _hook(service: Service) -> Webhook:
    hook = await Webhook.get_or_none(service_id=service.id)
    if hook is None:
        raise _none(service)
    return hook


def _none(service: Service) -> NotFound:
    return NotFound(
        f"service {service.name} has no webhook",
        hint=f"make one with `helvetia webhook create {service.name}`",
    )


def _of(service: Service) -> QuerySet[Delivery]:
    kinds = (inbox.SOURCE, inbox.REFUSED)
    return Delivery.filter(source__in=[f"{kind}:{service.id}" for kind in kinds])


async def _delivery(service: Service, id: str) -> Delivery:
    row = await _of(service).get_or_none(id=id) if id.isalnum() and id.isascii() else None
    if row is None:
        raise NotFound("there is no such delivery", hint="see `helvetia webhook deliveries`")
    return row


def _told(row: Delivery) -> shapes.Delivery:
    return shapes.Delivery.model_validate(
        {
            "id": row.id,
            "event": row.event,
            "verdict": row.verdict,
            "reason": row.reason,
            "deployment_id": row.deployment_id,
            "replay_of": row.headers.get("Replay-Of"),
            "created_at": row.created_at,
        }
    )


def _shown(call: Call, hook: Webhook) -> shapes.Webhook:
    return shapes.Webhook(
        url=f"{own_origin(call.request)}/webhooks/{hook.id}",
        paths=hook.paths,
        created_at=hook.created_at,
    )


async def _record(kind: str, call: Call, service: Service, **data: str) -> None:
    await events.record(
        kind, actor=call.user.id, team_id=service.team_id, service_id=service.id, **data
    )
