"""Where the GitHub App is told of everything: pushes of all repositories, and of itself."""

from __future__ import annotations

from typing import Any

from tortoise.exceptions import IntegrityError

from helvetia import Call, Policy, Reply, Resource, Unauthenticated
from helvetia.kernel.errors import NotFound, TooLarge
from helvetia.kernel.http.bodies import refuse_encoding
from helvetia.kernel.http.problems import BadRequest
from helvetia.kernel.models import Delivery
from helvetia.plugins.webhooks import forges, inbox
from helvetia.plugins.webhooks.models import Webhook
from helvetia.plugins.webhooks.reading import read_body, read_payload

from . import app, shapes
from .addresses import repository_name
from .connections import cut_off
from .models import Connection
from .settings import GitHubSettings

_SOURCE = "github-app"
_KEPT = 100
resource = Resource("github")


class NotFromGitHub(Unauthenticated):
    """What came is not signed with the App's secret."""


@resource.post(
    "/hooks/github",
    policy=Policy.PUBLIC,
    summary="Take a webhook of the GitHub App",
    status=202,
    also={200: "It was sent before, or there was nothing to do"},
    body_media="application/json",
    errors=[BadRequest, NotFound, NotFromGitHub, TooLarge],
    purpose="webhook",
)
async def take(call: Call) -> Reply[shapes.Told]:
    """Hand an event to the services that are connected to its repository, or mark what is gone.

    Signed with the secret of the App in `X-Hub-Signature-256`.
    """
    request = call.request
    settings = call.platform.section(GitHubSettings)
    if settings.webhook_secret is None:
        raise NotFound("this platform is no GitHub App")
    refuse_encoding(request)
    body = await read_body(request)
    if reason := forges.unsigned(request.headers, body, settings.webhook_secret.get_secret_value()):
        raise NotFromGitHub(reason, hint="give the App the webhook_secret of [github]")
    payload = await read_payload(request.headers, body)
    event = forges.event_name(request.headers)
    if event in _ABOUT_US:
        return await _about_us(call, event, payload, body)
    return await _hand_on(call, event, payload, body)


async def _hand_on(
    call: Call, event: str, payload: dict[str, Any], body: bytes
) -> Reply[shapes.Told]:
    """Give an event to the inbox of each service of its repository."""
    number, installation = _id(payload, "repository"), _id(payload, "installation")
    if event == "ping" or not number:
        return Reply(
            value=shapes.Told(reason=f"nothing to do for {event}", deployments=[]), status=200
        )
    if event == "repository":
        said = payload["repository"].get("full_name")
        settings = call.platform.section(GitHubSettings)
        if isinstance(said, str) and (name := repository_name(said, settings)):
            await Connection.filter(repository_id=number).update(name=name)
    found = Connection.filter(repository_id=number, installation__not_isnull=True)
    queued: list[str] = []
    reasons: list[str] = []
    for connection in await found:
        if installation and str(connection.installation) != installation:
            continue
        hook = await Webhook.get_or_none(service_id=connection.service_id)
        if hook is None:
            continue  # a preview, which is told of by its parent
        if connection.cut_off:
            reasons.append(connection.cut_off)
            continue
        kept = await inbox.receive(hook, call.request.headers, body)
        reasons.append(kept.reason if kept.is_new else f"sent before: {kept.reason}")
        if kept.is_new and kept.deployment_id:
            queued.append(kept.deployment_id)
        if kept.rings:
            await call.context.ring(kept.rings)
    told = shapes.Told(
        reason="; ".join(dict.fromkeys(reasons)) or "no service is connected to this repository",
        deployments=queued,
    )
    return Reply(value=told, status=202 if queued else 200)


async def _about_us(
    call: Call, event: str, payload: dict[str, Any], body: bytes
) -> Reply[shapes.Told]:
    """Note that we may do more or less than before; what came is kept once."""
    action = payload.get("action")
    reason = await _change(call, event, action if isinstance(action, str) else "", payload)
    headers = call.request.headers
    try:
        await Delivery.create(
            source=_SOURCE,
            delivery_key=forges.delivery_key(headers, body),
            event=event,
            headers=forges.kept_headers(headers),
            body=body,
            verdict=inbox.IGNORED,
            reason=reason,
        )
    except IntegrityError:
        reason = f"sent before: {reason}"
    old = Delivery.filter(source=_SOURCE).order_by("-created_at").offset(_KEPT).limit(_KEPT)
    await Delivery.filter(id__in=await old.values_list("id", flat=True)).delete()
    return Reply(value=shapes.Told(reason=reason, deployments=[]), status=200)


async def _change(call: Call, event: str, action: str, payload: dict[str, Any]) -> str:
    """Cut off what is gone and connect again what is back; doing it twice is fine."""
    account = str((payload.get("installation") or {}).get("account", {}).get("login", "GitHub"))
    installation = int(_id(payload, "installation") or 0)
    if event == "github_app_authorization":
        return await _unauthorized(call, _id(payload, "sender"))
    app.forget_tokens(installation)
    here: dict[str, Any] = {"installation": installation}
    if event == "installation" and action in ("deleted", "suspend"):
        what = "removed from" if action == "deleted" else "suspended at"
        reason = f"the GitHub App was {what} {account}"
        return f"{reason}: {await cut_off(reason, **here)} services go on, without pushes"
    if event == "installation" and action in ("created", "unsuspend"):
        return f"connected again: {await Connection.filter(**here).update(cut_off='')} services"
    if event == "installation_repositories":
        gone, back = (_ids(payload, f"repositories_{what}") for what in ("removed", "added"))
        reason = f"the GitHub App may not see this repository of {account} any more"
        count = await cut_off(reason, **here, repository_id__in=gone)
        await Connection.filter(**here, repository_id__in=back).update(cut_off="")
        return f"{count} services go on, without pushes"
    return f"nothing to do for {event} {action}".strip()


async def _unauthorized(call: Call, subject: str) -> str:
    """Forget the grant of a person who took it back, and what is read by it."""
    from helvetia.kernel.models import Account
    from helvetia.plugins.auth.github import grants

    await grants.take(call.platform, subject)
    accounts = await Account.filter(provider="github", subject=subject)
    reason = "whoever connected the service has taken their grant back at GitHub"
    people = [account.user_id for account in accounts]
    count = await cut_off(reason, user_id__in=people, installation__isnull=True)
    return f"{count} services go on, without pushes"


_ABOUT_US = ("installation", "installation_repositories", "github_app_authorization")


def _id(payload: dict[str, Any], name: str) -> str:
    value = payload.get(name)
    number = value.get("id") if isinstance(value, dict) else None
    return str(number) if isinstance(number, int) and 0 < number < 2**63 else ""


def _ids(payload: dict[str, Any], name: str) -> list[str]:
    listed = payload.get(name)
    items = listed if isinstance(listed, list) else []
    return [number for one in items if (number := _id({"one": one}, "one"))]
