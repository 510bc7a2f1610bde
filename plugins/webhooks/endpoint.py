"""Where Git hosts and scripts knock."""

from __future__ import annotations

from helvetia import Call, Policy, Reply, Resource, Unauthenticated
from helvetia.kernel import secrets
from helvetia.kernel.errors import Conflict, NotFound, TooLarge
from helvetia.kernel.http.bodies import refuse_encoding
from helvetia.kernel.http.problems import BadRequest
from helvetia.kernel.models import Service, Trigger
from helvetia.kernel.pipeline.queue import DeploymentRequest, enqueue

from . import forges, hooks, inbox, shapes
from .models import Webhook
from .reading import read_body

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
    vault = call.platform.vault
    refuse_encoding(call.request)
    found = await hooks.find(hook, vault, anew=False)
    body = await read_body(call.request)
    try:
        return await _take(call, found, body)
    except hooks.Changed:
        return await _take(call, await hooks.find(hook, vault, anew=True), body)


async def _take(call: Call, found: hooks.Found, body: bytes) -> Reply[shapes.Receipt]:
    hook, headers, is_remembered = found.hook, call.request.headers, found.is_remembered
    if reason := forges.unsigned(headers, body, found.secret):
        await inbox.refuse(hook, headers, reason, is_remembered=is_remembered)
        raise NotSigned(reason, hint="give the Git host the secret of this hook")
    kept = await inbox.receive(hook, headers, body, is_remembered=is_remembered)
    if kept.rings:
        await call.context.ring(kept.rings)
    receipt = shapes.Receipt.model_validate(
        {
            "delivery": kept.id,
            "verdict": kept.verdict,
            "reason": kept.reason,
            "deployment": kept.deployment_id,
            "is_new": kept.is_new,
        }
    )
    return Reply(value=receipt, status=202 if kept.is_new else 200)


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
