"""A service and its repository: connected by a person, with a webhook that looks after itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from helvetia.kernel import events
from helvetia.kernel.errors import Conflict, NotFound
from helvetia.kernel.models import Delivery, Service

from . import tasks
from .addresses import repository_name
from .app import app_client, forget_tokens, is_app
from .client import GitHubClient
from .credentials import has_grant, user_client
from .errors import GitHubRefused
from .models import Connection, Task
from .settings import GitHubSettings

if TYPE_CHECKING:
    from helvetia import Kernel

EVENTS = ("push", "pull_request")
_CHECKED_EVERY = 3600.0
_NOT_COVERED = "the GitHub App was removed or suspended, or may not see this repository any more"
_NO_ADMIN = (
    "whoever connected the service is no administrator of {name}: add the webhook there by hand, "
    "see `helvetia webhook create`"
)


async def connect(
    kernel: Kernel, service: Service, *, user_id: str, origin: str = ""
) -> Connection:
    """Connect a service to its repository by the right of a person.

    Args:
        kernel: of the platform.
        service: whose source is at GitHub.
        user_id: who does it; the repository is read by their right from now on.
        origin: where GitHub reaches the control plane; "" leaves it to the settings.

    Raises:
        Conflict: the source is not at GitHub, or the person has not connected GitHub.
        NotFound: the person may not see the repository.
        GitHubError: GitHub fails.
    """
    settings = kernel.section(GitHubSettings)
    name = repository_name(service.source_url, settings)
    if name is None:
        raise Conflict(f"the source of {service.name} is no repository at {settings.url}")
    if not await has_grant(kernel, user_id):
        raise Conflict(
            "you have not connected GitHub", hint="sign in by GitHub, or link your account to it"
        )
    async with user_client(kernel, user_id) as client:
        found = await _seen(client, name)
    installation = None
    # The App may write: it does so for people only who may themselves.
    if is_app(settings) and (found.get("permissions") or {}).get("push"):
        installation = await _installation(settings, found["full_name"])
    former = await Connection.get_or_none(service_id=service.id)
    if former is not None and former.repository_id != str(found["id"]):
        await disconnect(service.id)
    values: dict[str, Any] = {
        "team_id": service.team_id,
        "user_id": user_id,
        "repository_id": str(found["id"]),
        "name": found["full_name"],
        "written": name,
        "private": bool(found.get("private", True)),
        "installation": installation,
        "cut_off": "",
        "hook_problem": "",
    }
    if origin := (settings.public_url or origin).rstrip("/"):
        values["hook_url"] = await _hook_url(kernel, service, origin)
    else:
        values["hook_problem"] = "GitHub cannot reach this platform: set public_url of [github]"
    made, _ = await Connection.update_or_create(service_id=service.id, defaults=values)
    await events.record(
        "github.connected",
        actor=user_id,
        team_id=service.team_id,
        service_id=service.id,
        repository=made.name,
    )
    if made.hook_url:
        await tasks.ask("hook", f"hook:{service.id}", service=service.id)
    return made


async def disconnect(service_id: str) -> bool:
    """Forget the connection of a service, and have its webhook at GitHub removed."""
    found = await Connection.get_or_none(service_id=service_id)
    if found is None:
        return False
    if found.hook is not None:
        about = {"repository": found.repository_id, "hook": found.hook, "user": found.user_id}
        await tasks.ask("unhook", f"unhook:{found.repository_id}:{found.hook}", **about)
    await Task.filter(key__in=[f"{kind}:{service_id}" for kind in ("hook", "recover")]).delete()
    await Connection.filter(id=found.id).delete()
    return True


async def cut_off(reason: str, **which: Any) -> int:
    """Deploy nothing by itself any more for some connections; what runs goes on. Tell it."""
    found = await Connection.filter(cut_off="", **which)
    for connection in found:
        await Connection.filter(id=connection.id).update(cut_off=reason[:500])
        await events.record(
            "github.cut-off",
            actor="github",
            team_id=connection.team_id,
            service_id=connection.service_id,
            reason=reason,
        )
    return len(found)


async def _seen(client: GitHubClient, name: str) -> dict[str, Any]:
    try:
        found: dict[str, Any] = await client.get(f"/repos/{name}")
    except GitHubRefused as error:
        if error.answered != 404:
            raise
        raise NotFound(
            f"there is no repository {name} that you may see at GitHub",
            hint="check the address, and what you have granted at GitHub",
        ) from None
    return found


async def look_at_installation(kernel: Kernel, connection: Connection) -> None:
    """Cut a connection off that no installation of the App covers, or connect it again.

    GitHub tells of it when that changes; what it could not tell is seen here.

    Raises:
        GitHubError: GitHub fails.
    """
    settings = kernel.section(GitHubSettings)
    if connection.installation is None or not is_app(settings):
        return
    found = await _installation(settings, connection.name)
    if found is None:
        await cut_off(_NOT_COVERED, id=connection.id)
    elif connection.cut_off or found != connection.installation:
        # Installed anew, it has another number.
        forget_tokens(connection.installation)
        await Connection.filter(id=connection.id).update(cut_off="", installation=found)
    await connection.refresh_from_db()


async def _installation(settings: GitHubSettings, name: str) -> int | None:
    """Return the App's installation that covers a repository; None if none does."""
    async with app_client(settings) as client:
        try:
            found = await client.get(f"/repos/{name}/installation")
        except GitHubRefused as error:
            if error.answered == 404:
                return None
            raise
    return None if found.get("suspended_at") else int(found["id"])


async def _hook_url(kernel: Kernel, service: Service, origin: str) -> str:
    from helvetia.plugins.webhooks.making import ensure

    hook, _ = await ensure(kernel, service)
    return f"{origin}/webhooks/{hook.id}"


class Hooks:
    """Makes, repairs and removes webhooks of repositories."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel

    async def look(self, task: Task) -> float | None:
        """Have the webhook of a service be as it should; looked at again each hour.

        Raises:
            GitHubError: GitHub fails.
        """
        connection = await Connection.get_or_none(service_id=task.data["service"])
        service = await Service.get_or_none(id=task.data["service"])
        if connection is None or service is None or not connection.hook_url:
            return tasks.DONE
        settings = self._kernel.section(GitHubSettings)
        if connection.installation is not None and settings.webhook_secret is not None:
            # What the App is sent has its own address, and covers the repository.
            return None
        from helvetia.plugins.webhooks.making import ensure

        hook, secret = await ensure(self._kernel, service)
        url = f"{connection.hook_url.rpartition('/')[0]}/{hook.id}"
        renew = bool(task.found.get("secret") != hook.deploy_digest) or await _refused(service)
        wanted = {
            "active": True,
            "events": list(EVENTS),
            "config": {
                "url": url, "content_type": "json", "secret": secret, "insecure_ssl": "0",
            },
        }  # fmt: skip
        async with user_client(self._kernel, connection.user_id) as client:
            try:
                number = await _repaired(client, connection, wanted, renew=renew)
            except GitHubRefused as error:
                if error.answered not in (403, 404):
                    raise
                problem = _NO_ADMIN.format(name=connection.name)
                await Connection.filter(id=connection.id).update(hook=None, hook_problem=problem)
                return _CHECKED_EVERY
        # A secret made anew has a new deploy URL beside it: by that it is known again.
        task.found["secret"] = hook.deploy_digest
        await Connection.filter(id=connection.id).update(hook=number, hook_url=url, hook_problem="")
        return _CHECKED_EVERY

    async def remove(self, task: Task) -> float | None:
        """Remove a webhook that nobody needs any more.

        Raises:
            GitHubError: GitHub fails.
        """
        data = task.data
        async with user_client(self._kernel, data["user"]) as client:
            try:
                path = f"/repositories/{data['repository']}/hooks/{data['hook']}"
                await client.ask("DELETE", path)
            except GitHubRefused as error:
                if error.answered not in (401, 403, 404):
                    raise
        return tasks.DONE


async def _refused(service: Service) -> bool:
    """Tell whether the newest delivery was signed with another secret."""
    sources = [f"webhook:{service.id}", f"refused:{service.id}"]
    rows = Delivery.filter(source__in=sources).only("id", "verdict").order_by("-created_at")
    newest = await rows.first()
    return newest is not None and newest.verdict == "refused"


async def _repaired(
    client: GitHubClient, connection: Connection, wanted: dict[str, Any], *, renew: bool
) -> int:
    """Make the webhook, or change what differs; return its number."""
    base = f"/repositories/{connection.repository_id}/hooks"
    there = await _one(client, f"{base}/{connection.hook}") if connection.hook else None
    if there is None:
        url = wanted["config"]["url"]
        async for page in client.pages(base):
            there = next((one for one in page if one.get("config", {}).get("url") == url), there)
        renew = True
    if there is None:
        made = await client.ask("POST", base, body={"name": "web", **wanted})
        return int(made.data["id"])
    same = {"url", "content_type", "insecure_ssl"}
    differs = (
        not there.get("active")
        or set(there.get("events", ())) != set(wanted["events"])
        or any(str(there["config"].get(key)) != wanted["config"][key] for key in same)
    )
    if differs or renew:
        await client.ask("PATCH", f"{base}/{there['id']}", body=wanted)
    return int(there["id"])


async def _one(client: GitHubClient, path: str) -> dict[str, Any] | None:
    try:
        found: dict[str, Any] = await client.get(path)
    except GitHubRefused as error:
        if error.answered == 404:
            return None
        raise
    return found
