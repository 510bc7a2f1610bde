"""The inbox: each delivery is kept with what was done about it, in one transaction with that."""

from __future__ import annotations

import asyncio
import secrets as randomness
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from tortoise.exceptions import IntegrityError
from tortoise.queryset import QuerySet
from tortoise.transactions import in_transaction

from helvetia.kernel.errors import Conflict, NotFound
from helvetia.kernel.http.problems import BadRequest
from helvetia.kernel.models import Delivery, Service, Trigger
from helvetia.kernel.models.base import new_id
from helvetia.kernel.pipeline.queue import DeploymentRequest, enqueue

from . import forges, verdicts
from .models import Webhook

SOURCE, REFUSED = "webhook", "refused"
"""What `source` of a delivery begins with: what was refused never drives out the rest."""
DEPLOYED, IGNORED = "deployed", "ignored"
_KEPT = {SOURCE: 100, REFUSED: 20}
_PRUNED_EVERY = 16
_LARGE_BYTES = 2**20
_PUSHED = DeploymentRequest(trigger=Trigger.PUSH)


async def receive(hook: Webhook, headers: Mapping[str, str], body: bytes) -> tuple[Delivery, bool]:
    """Keep a delivery that is signed, and do what it asks for.

    Returns:
        The delivery, and whether it is new: one that is sent again changes nothing.

    Raises:
        BadRequest: it cannot be read; it is kept as refused.
        NotFound: the service is gone.
    """
    service = await Service.get_or_none(id=hook.service_id)
    if service is None:
        raise NotFound("there is no such hook")
    key = forges.delivery_key(headers, body)
    if (kept := await _known(service, key).get_or_none()) is not None:
        return kept, False
    try:
        delivery = await _take(hook, service, key, forges.kept_headers(headers), body)
    except BadRequest as error:
        await refuse(service.id, headers, error.message)
        raise
    except IntegrityError:
        return await _known(service, key).get(), False
    await _prune(SOURCE, service.id)
    return delivery, True


async def replay(hook: Webhook, service: Service, old: Delivery, *, actor: str) -> Delivery:
    """Do again what a delivery asked for, with the same commit and the rules of now.

    Raises:
        Conflict: its body was not kept, because it was not believed.
    """
    if not old.source.startswith(f"{SOURCE}:"):
        raise Conflict("a delivery that was refused cannot be replayed, its body was not kept")
    key = f"replay:{new_id()}"
    headers = {**old.headers, "Replay-Of": old.id}
    again = DeploymentRequest(trigger=Trigger.REDELIVERY, actor=actor)
    return await _take(hook, service, key, headers, bytes(old.body), again)


async def refuse(service_id: str, headers: Mapping[str, str], reason: str) -> None:
    """Keep that a delivery was not believed; its body may be anybody's and is not kept."""
    await Delivery.create(
        source=f"{REFUSED}:{service_id}",
        delivery_key=new_id(),
        event=forges.event_name(headers),
        headers=forges.kept_headers(headers),
        body=b"",
        verdict=REFUSED,
        reason=reason,
        service_id=service_id,
    )
    await _prune(REFUSED, service_id)


async def _take(
    hook: Webhook,
    service: Service,
    key: str,
    headers: dict[str, Any],
    body: bytes,
    request: DeploymentRequest = _PUSHED,
) -> Delivery:
    event = forges.event_name(headers)
    content_type = str(headers.get("Content-Type", "")).partition(";")[0].strip().lower()
    if len(body) > _LARGE_BYTES:
        payload = await asyncio.to_thread(forges.read_payload, content_type, body)
    else:
        payload = forges.read_payload(content_type, body)
    push = forges.read_push(payload) if event == "push" else None
    verdict = verdicts.Verdict(reason=f"the event `{event}` starts nothing")
    if event == "ping":
        verdict = verdicts.Verdict(reason="the hook works")
    elif push is not None:
        verdict = verdicts.judge(push, service, paths=hook.paths, repository_id=hook.repository_id)
    async with in_transaction():
        what, reason, deployment_id = IGNORED, verdict.reason, None
        if verdict.sha is not None:
            try:
                deployment, _ = await enqueue(service, replace(request, ref=verdict.sha))
            except Conflict as error:  # it is being deleted, and was not a moment ago
                reason = error.message
            else:
                what, deployment_id = DEPLOYED, deployment.id
        # Refused here if it came twice at once, and then nothing is queued either.
        delivery = await Delivery.create(
            source=f"{SOURCE}:{service.id}",
            delivery_key=key,
            event=event,
            headers=headers,
            body=body,
            verdict=what,
            reason=reason,
            service_id=service.id,
            deployment_id=deployment_id,
        )
        if push is not None and push.repository_id not in ("", hook.repository_id) \
                and verdicts.is_named(push, service.source_url):  # fmt: skip
            # From now on it is known also by another name.
            await Webhook.filter(id=hook.id).update(repository_id=push.repository_id)
    return delivery


def _known(service: Service, key: str) -> QuerySet[Delivery]:
    """Return a delivery that came before, without its body, which may be large."""
    rows = Delivery.filter(source=f"{SOURCE}:{service.id}", delivery_key=key)
    return rows.only("id", "verdict", "reason", "deployment_id")


async def _prune(kind: str, service_id: str) -> None:
    """Now and then, drop the oldest deliveries over what is kept."""
    if randomness.randbelow(_PRUNED_EVERY):
        return
    rows = Delivery.filter(source=f"{kind}:{service_id}").order_by("-created_at", "-id")
    ids = await rows.offset(_KEPT[kind]).limit(1000).values_list("id", flat=True)
    await Delivery.filter(id__in=list(ids)).delete()
