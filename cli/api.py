"""The REST API v1 as typed methods."""

from __future__ import annotations

from collections.abc import AsyncIterable, Mapping
from types import MappingProxyType
from typing import Any, TypeVar

from pydantic import BaseModel, TypeAdapter, ValidationError

from helvetia.kernel.errors import HelvetiaError, InvalidInput, NotFound
from helvetia.plugins.api import inputs, schemas
from helvetia.plugins.audit.shapes import AuditEntry
from helvetia.plugins.github import shapes as forge
from helvetia.plugins.previews import shapes as pulls
from helvetia.plugins.webhooks import shapes as hooks

from .client import Client, part

Model = TypeVar("Model", bound=BaseModel)
_PLAN_SECONDS = 600.0
_PAGE = 100
_NAMED_VALUES = ("environment", "builder", "source")
_PATTERNS = {
    "name": "must have lower-case letters, digits and hyphens only, and begin with a letter",
    "type": "must have lower-case letters, digits and hyphens only",
    "path": "must begin with `/` and have no blanks in it",
}


class Api:
    """What a control plane can be asked for.

    Args:
        client: the open connection.
    """

    def __init__(self, client: Client) -> None:
        self.client = client

    async def about(self) -> schemas.About:
        """Return facts about the installation."""
        return parse(schemas.About, await self.client.request("GET", ""))

    async def workers(self) -> list[schemas.Worker]:
        """Return all workers."""
        return await self._all("/workers", schemas.Worker)

    async def queue(self) -> schemas.Queue:
        """Return what waits for them."""
        return parse(schemas.Queue, await self.client.request("GET", "/queue"))

    async def services(self) -> list[schemas.Service]:
        """Return all services."""
        return await self._all("/services", schemas.Service)

    async def service(self, name: str) -> schemas.ServiceDetail:
        """Return one service with its instances."""
        return parse(schemas.ServiceDetail, await self.client.request("GET", service_path(name)))

    async def find_service(self, name: str) -> schemas.ServiceDetail | None:
        """Return a service, None if there is none of that name."""
        try:
            return await self.service(name)
        except NotFound:
            return None

    async def create_service(self, service: inputs.NewService) -> schemas.Service:
        """Create a service."""
        body = service.model_dump(exclude_unset=True)
        return parse(schemas.Service, await self.client.request("POST", "/services", body=body))

    async def change_service(self, name: str, change: inputs.ServiceChange) -> schemas.Service:
        """Change what is set in `change`."""
        body = change.model_dump(exclude_unset=True)
        answer = await self.client.request("PATCH", service_path(name), body=body, repeat=True)
        return parse(schemas.Service, answer)

    async def delete_service(self, name: str) -> schemas.Service:
        """Begin to delete a service."""
        return parse(schemas.Service, await self.client.request("DELETE", service_path(name)))

    async def stop(self, name: str) -> schemas.Service:
        """Begin to stop a service."""
        answer = await self.client.request("POST", f"{service_path(name)}/stop", repeat=True)
        return parse(schemas.Service, answer)

    async def start(self, name: str) -> schemas.Deployment:
        """Begin to start a stopped service."""
        answer = await self.client.request("POST", f"{service_path(name)}/start")
        return parse(schemas.Deployment, answer)

    async def deploy(
        self, name: str, deployment: schemas.NewDeployment, *, key: str
    ) -> schemas.Deployment:
        """Create a deployment; the same key gives the same one, so that it may be repeated."""
        answer = await self.client.request(
            "POST",
            f"{service_path(name)}/deployments",
            body=deployment.model_dump(exclude_unset=True),
            headers={"Idempotency-Key": key},
            repeat=True,
        )
        return parse(schemas.Deployment, answer)

    async def clear_cache(self, name: str) -> schemas.Freed:
        """Drop what is kept for the next build."""
        return parse(
            schemas.Freed, await self.client.request("DELETE", f"{service_path(name)}/cache")
        )

    async def deployments(self, name: str, *, limit: int) -> list[schemas.Deployment]:
        """Return the newest deployments of a service."""
        return await self._all(f"{service_path(name)}/deployments", schemas.Deployment, limit=limit)

    async def deployment(self, id: str) -> schemas.Deployment:
        """Return a deployment."""
        return parse(schemas.Deployment, await self.client.request("GET", deployment_path(id)))

    async def cancel(self, id: str) -> schemas.Deployment:
        """Begin to cancel a deployment."""
        answer = await self.client.request("POST", f"{deployment_path(id)}/cancel", repeat=True)
        return parse(schemas.Deployment, answer)

    async def releases(self, name: str) -> list[schemas.Release]:
        """Return the releases of a service."""
        return await self._all(f"{service_path(name)}/releases", schemas.Release)

    async def environment(self, name: str) -> list[schemas.Variable]:
        """Return the names of a service's variables."""
        return await self._all(f"{service_path(name)}/environment", schemas.Variable)

    async def environment_diff(self, name: str) -> schemas.EnvironmentDiff:
        """Return which variables the next deployment changes."""
        answer = await self.client.request("GET", f"{service_path(name)}/environment/diff")
        return parse(schemas.EnvironmentDiff, answer)

    async def change_environment(
        self, name: str, change: inputs.EnvironmentChange
    ) -> list[schemas.Variable]:
        """Set and unset variables, all or nothing."""
        path = f"{service_path(name)}/environment"
        answer = await self.client.request("PATCH", path, body=change.model_dump(), repeat=True)
        return parse(schemas.Page[schemas.Variable], answer).items

    async def domains(self, name: str) -> list[schemas.Domain]:
        """Return the hostnames of a service."""
        return await self._all(f"{service_path(name)}/domains", schemas.Domain)

    async def add_domain(self, name: str, hostname: str) -> schemas.Domain:
        """Give a service one more hostname."""
        path, body = f"{service_path(name)}/domains", {"hostname": hostname}
        return parse(schemas.Domain, await self.client.request("POST", path, body=body))

    async def verify_domain(self, name: str, hostname: str) -> schemas.Domain:
        """Have the proof of a hostname looked for now."""
        path = f"{service_path(name)}/domains/{part(hostname)}/verify"
        return parse(schemas.Domain, await self.client.request("POST", path))

    async def certificate(self, name: str, hostname: str) -> schemas.Certificate:
        """Return what a hostname shows browsers now."""
        path = f"{service_path(name)}/domains/{part(hostname)}/certificate"
        return parse(schemas.Certificate, await self.client.request("GET", path))

    async def remove_domain(self, name: str, hostname: str) -> None:
        """Take a hostname from a service."""
        path = f"{service_path(name)}/domains/{part(hostname)}"
        await self.client.request("DELETE", path)

    async def webhook(self, name: str) -> hooks.Webhook:
        """Return the webhook of a service."""
        return parse(hooks.Webhook, await self.client.request("GET", _webhook_path(name)))

    async def create_webhook(self, name: str, wanted: hooks.NewWebhook) -> hooks.Webhook:
        """Make the webhook of a service, or new secrets for it."""
        body = wanted.model_dump()
        answer = await self.client.request("POST", _webhook_path(name), body=body)
        return parse(hooks.Webhook, answer)

    async def remove_webhook(self, name: str) -> None:
        """Take the webhook from a service."""
        await self.client.request("DELETE", _webhook_path(name))

    async def github(self) -> forge.About:
        """Return how GitHub is set up."""
        return parse(forge.About, await self.client.request("GET", "/github"))

    async def repositories(self, search: str, *, limit: int) -> list[forge.Repository]:
        """Return repositories at GitHub that the caller may see."""
        return await self._all(
            "/github/repositories", forge.Repository, limit=limit, query={"search": search}
        )

    async def branches(self, repository: str, search: str, *, limit: int) -> list[forge.Branch]:
        """Return branches of a repository at GitHub."""
        query = {"repository": repository, "search": search}
        return await self._all("/github/branches", forge.Branch, limit=limit, query=query)

    async def installations(self) -> list[forge.Installation]:
        """Return installations of the GitHub App that the caller may use."""
        return await self._all("/github/installations", forge.Installation)

    async def github_connection(self, name: str) -> forge.Connection:
        """Return the repository that a service is connected to."""
        answer = await self.client.request("GET", f"{service_path(name)}/github")
        return parse(forge.Connection, answer)

    async def connect_github(self, name: str) -> forge.Connection:
        """Connect a service to its repository at GitHub."""
        answer = await self.client.request("POST", f"{service_path(name)}/github", body={})
        return parse(forge.Connection, answer)

    async def disconnect_github(self, name: str) -> None:
        """Forget the repository of a service."""
        await self.client.request("DELETE", f"{service_path(name)}/github")

    async def previews(self, name: str) -> list[pulls.Preview]:
        """Return the previews of a service."""
        return await self._all(f"{service_path(name)}/previews", pulls.Preview)

    async def preview_policy(self, name: str) -> pulls.Policy:
        """Return which pull requests of a service get previews."""
        answer = await self.client.request("GET", f"{service_path(name)}/previews/policy")
        return parse(pulls.Policy, answer)

    async def enable_previews(self, name: str, wanted: pulls.NewPolicy) -> pulls.Policy:
        """Give a service previews."""
        path, body = f"{service_path(name)}/previews/policy", wanted.model_dump()
        return parse(pulls.Policy, await self.client.request("POST", path, body=body))

    async def disable_previews(self, name: str) -> None:
        """Take previews from a service."""
        await self.client.request("DELETE", f"{service_path(name)}/previews/policy")

    async def remove_preview(self, name: str, number: int) -> None:
        """Remove one preview."""
        await self.client.request("DELETE", f"{service_path(name)}/previews/{number}")

    async def deliveries(self, name: str, *, limit: int) -> list[hooks.Delivery]:
        """Return the newest deliveries of a service."""
        return await self._all(f"{service_path(name)}/deliveries", hooks.Delivery, limit=limit)

    async def replay_delivery(self, name: str, id: str) -> hooks.Delivery:
        """Do again what a delivery asked for."""
        path = f"{service_path(name)}/deliveries/{part(id)}/replay"
        return parse(hooks.Delivery, await self.client.request("POST", path))

    async def events(self, name: str, *, limit: int) -> list[schemas.Event]:
        """Return the newest entries of a service's journal."""
        return await self._all(f"{service_path(name)}/events", schemas.Event, limit=limit)

    async def audit(self, filters: Mapping[str, str | None], *, limit: int) -> list[AuditEntry]:
        """Return the newest entries of the audit log that fit."""
        return await self._all("/audit", AuditEntry, limit=limit, query=filters)

    async def logs(
        self,
        path: str,
        *,
        after: int | None = None,
        tail: int | None = None,
        limit: int = 1000,
        instance: str | None = None,
    ) -> schemas.LogPage:
        """Return a page of the log below `path`: a service's, of one instance, a deployment's."""
        query = {
            "after": after,
            "tail": tail,
            "limit": None if tail is not None else limit,
            "instance": instance,
        }
        answer = await self.client.request("GET", f"{path}/logs", query=query)
        return parse(schemas.LogPage, answer)

    async def plan(self, request: schemas.PlanRequest) -> schemas.Plan:
        """Return who would do each stage, and why."""
        body = request.model_dump(exclude_unset=True)
        answer = await self.client.request("POST", "/plans", body=body, timeout=_PLAN_SECONDS)
        return parse(schemas.Plan, answer)

    async def upload(self, body: AsyncIterable[bytes], length: int) -> schemas.Upload:
        """Send a packed folder."""
        return parse(schemas.Upload, await self.client.upload("/uploads", body, length))

    async def plugins(self) -> list[schemas.Plugin]:
        """Return the plugins of the running platform."""
        return await self._all("/plugins", schemas.Plugin)

    async def checks(self) -> list[schemas.ProviderCheck]:
        """Return whether each provider is usable."""
        return await self._all("/checks", schemas.ProviderCheck)

    async def tokens(self) -> list[schemas.Token]:
        """Return the API tokens, without their secrets."""
        return await self._all("/tokens", schemas.Token)

    async def create_token(self, token: schemas.NewToken) -> schemas.Token:
        """Make a token; its secret is in the answer and nowhere else."""
        body = token.model_dump()
        return parse(schemas.Token, await self.client.request("POST", "/tokens", body=body))

    async def revoke_token(self, id: str) -> None:
        """Make a token worthless."""
        await self.client.request("DELETE", f"/tokens/{part(id)}")

    async def _all(
        self,
        path: str,
        model: type[Model],
        *,
        limit: int | None = None,
        query: Mapping[str, str | None] = MappingProxyType({}),
    ) -> list[Model]:
        """Gather the pages of a list, up to `limit` items."""
        items: list[Model] = []
        cursor: str | None = None
        while limit is None or len(items) < limit:
            size = _PAGE if limit is None else min(_PAGE, limit - len(items))
            asked: dict[str, str | int | None] = {**query, "limit": size, "cursor": cursor}
            page = await self.client.request("GET", path, query=asked)
            items += [parse(model, item) for item in page["items"]]
            cursor = page.get("next")
            if cursor is None:
                break
        return items if limit is None else items[:limit]


def service_path(name: str) -> str:
    """Return the path of a service below the API."""
    return f"/services/{part(name)}"


def _webhook_path(name: str) -> str:
    return f"{service_path(name)}/webhook"


def deployment_path(id: str) -> str:
    """Return the path of a deployment below the API."""
    return f"/deployments/{part(id)}"


def validated(model: type[Model], values: dict[str, Any], *, names: dict[str, str]) -> Model:
    """Make a request body from what a person typed.

    Args:
        names: what the person calls the fields, such as `--name`.

    Raises:
        InvalidInput: a value is not allowed; it is named as the person typed it.
    """
    try:
        return model.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        field, *inner = (str(step) for step in first["loc"])
        label = names.get(field, field)
        if field in _NAMED_VALUES and inner:
            label = f"{label} {inner[0]}"
        reason = str(first["msg"]).removeprefix("Value error, ")
        if first["type"] == "string_pattern_mismatch":
            reason = _PATTERNS.get((inner or [field])[-1], reason)
        raise InvalidInput(label, reason[:1].lower() + reason[1:]) from None


def parse(model: type[Model], content: object) -> Model:
    """Read an answer.

    Raises:
        HelvetiaError: it is not what this command understands.
    """
    try:
        return TypeAdapter(model).validate_python(content)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(step) for step in first["loc"])
        raise HelvetiaError(
            f"the control plane's answer is not understood: {where}: {first['msg']}",
            hint="this command and the platform may be of different versions",
        ) from error
