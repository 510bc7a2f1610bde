"""Where Git hosts and scripts knock."""

from __future__ import annotations

import json

from helvetia import Call, Policy, Reply, Resource, Unauthenticated
from helvetia.kernel import secrets
from helvetia.kernel.database.rows import fetch
from helvetia.kernel.errors import Conflict, NotFound, TooLarge
from helvetia.kernel.http.bodies import refuse_encoding
from helvetia.kernel.http.problems import BadRequest
from helvetia.kernel.models import Service, Trigger
from helvetia.kernel.pipeline.queue import DeploymentRequest, enqueue

from . import forges, inbox, shapes
from .models import Webhook
from .reading import read_body

_HOOK = """
SELECT "id", "service_id", "secret", CAST("paths" AS TEXT) AS "paths", "repository_id"
FROM "webhook" WHERE "id" = ?
"""
resource = Resource("webhooks")


class NotSigned(Unauthenticated):
    """A delivery that cannot be believed."""


@resource.post(
    "/webhooks/{hook}",
    policy=Policy.PUBLIC,
    summary="Take a webhook",
    status=202,
    also={200: "It was sent before; what was done then"},
    body_media="application/json",
    errors=[BadRequest, NotFound, NotSigned, TooLarge],
    purpose="webhook",
)
async def take(call: Call, hook: str) -> Reply[shapes.Receipt]:
    """Keep a delivery of a Git host and do what it asks for; answered once it is committed.

    Signed with the hook's secret: `X-Hub-Signature-256` (GitHub, Gitea, Forgejo, anybody),
    `X-Gitea-Signature`, or `X-Gitlab-Token`. A push without the name of an event is one.
    """
    request = call.request
    refuse_encoding(request)
    found = await _hook(hook) if hook.isalnum() and hook.isascii() else None
    if found is None:
        raise NotFound("there is no such hook")
    body = await read_body(request)
    secret = call.platform.vault.decrypt(found.secret, place=place(found.service_id))
    if reason := forges.unsigned(request.headers, body, secret):
        await inbox.refuse(found.service_id, request.headers, reason)
        raise NotSigned(reason, hint="give the Git host the secret of this hook")
    delivery, is_new, rings = await inbox.receive(found, request.headers, body)
    if rings:
        await call.context.ring(rings)
    receipt = shapes.Receipt.model_validate(
        {
            "delivery": delivery.id,
            "verdict": delivery.verdict,
            "reason": delivery.reason,
            "deployment": delivery.deployment_id,
            "is_new": is_new,
        }
    )
    return Reply(value=receipt, status=202 if is_new else 200)


@resource.post(
    "/deploy-hooks/{key}",
    policy=Policy.PUBLIC,
    summary="Deploy by a secret URL",
    status=202,
    errors=[Conflict, NotFound],
    purpose="webhook",
)
async def deploy(call: Call, key: str, query: shapes.DeployQuery) -> shapes.Deployed:
    """Deploy the service of the URL, as a script does that cannot sign; `ref` is what of it."""
    found = await Webhook.get_or_none(deploy_digest=secrets.digest(key)) if key.isascii() else None
    service = await Service.get_or_none(id=found.service_id) if found else None
    if service is None:
        raise NotFound("there is no such hook")
    request = DeploymentRequest(trigger=Trigger.PUSH, ref=query.ref)
    deployment, _ = await enqueue(service, request)
    await call.context.ring(deployment.id)
    return shapes.Deployed(deployment=deployment.id, number=deployment.number)


def place(service_id: str) -> str:
    """Return the place that a secret is bound to."""
    return Webhook.sealed_places["secret"].format(service_id=service_id)


async def _hook(id: str) -> Webhook | None:
    for row in await fetch(_HOOK, id):
        return Webhook.construct(**{**row, "paths": json.loads(row["paths"])})
    return None
