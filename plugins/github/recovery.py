"""What GitHub could not deliver is asked for again: it never tries a second time by itself.

Every few minutes the deliveries since the last look are listed, and one of which no attempt went
well is asked for again if what it says still holds. A branch that has moved without a word, as
while the webhook was gone, is taken up as if a push to it had come. What became of the App is not
asked for but looked at: nobody knows in which order old news would come.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from tortoise.expressions import Q

from helvetia.kernel import events
from helvetia.kernel.models import Delivery, Deployment, Desired, Service, utcnow
from helvetia.plugins.webhooks import forges, inbox
from helvetia.plugins.webhooks.models import Webhook

from . import tasks
from .app import app_client, is_app
from .client import GitHubClient
from .connections import EVENTS, look_at_installation
from .credentials import client_of, reader_of, require_usable, user_client
from .errors import GitHubRefused
from .models import Connection, Task
from .settings import GitHubSettings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from helvetia import Kernel

APP_KEY = "recover:app"
_EVERY = 900.0
_SOON = 60.0
# GitHub delivers again for three days; an Enterprise server for longer.
_WINDOW = timedelta(days=3)
# The newest of the last look may have been under way then.
_OVERLAP = timedelta(minutes=10)
_MOST_PAGES = 20
_ASKED_AT_ONCE = 20
_LOOKED_AT_AT_ONCE = 50
_TRIES = 3
_REMEMBERED_DELIVERIES = 20
_HEADS = "refs/heads/"


class Recovery:
    """Looks for what was missed; `found` of a task says how far it has looked."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel

    async def look(self, task: Task) -> float | None:
        """Look at the webhook and the branch of one service.

        Raises:
            GitHubError: GitHub fails or refuses.
        """
        connection = await Connection.get_or_none(service_id=task.data["service"])
        service = await Service.get_or_none(id=task.data["service"])
        if connection is None or service is None:
            return tasks.DONE
        await look_at_installation(self._kernel, connection)
        if connection.cut_off:
            return _EVERY
        await require_usable(connection)
        is_ended = True
        if connection.hook is not None:
            base = f"/repositories/{connection.repository_id}/hooks/{connection.hook}/deliveries"
            async with user_client(self._kernel, connection.user_id) as client:
                is_ended = await _Listing(client, base, task, self._kernel).recover([connection])
        async with client_of(self._kernel, reader_of(connection)) as client:
            await _look_at_branch(client, task, connection, service)
        return _EVERY if is_ended else _SOON

    async def look_at_app(self, task: Task) -> float | None:
        """Look at what the App was to be told.

        Raises:
            GitHubError: GitHub fails or refuses.
        """
        settings = self._kernel.section(GitHubSettings)
        if not is_app(settings) or settings.webhook_secret is None:
            return tasks.DONE
        connections = await Connection.filter(installation__not_isnull=True, cut_off="")
        async with app_client(settings) as client:
            listing = _Listing(client, "/app/hook/deliveries", task, self._kernel)
            return _EVERY if await listing.recover(connections) else _SOON


class _Listing:
    """The deliveries of one webhook at GitHub."""

    def __init__(self, client: GitHubClient, base: str, task: Task, kernel: Kernel) -> None:
        self._client = client
        self._base = base
        self._found = task.found
        self._kernel = kernel

    async def recover(self, connections: Sequence[Connection]) -> bool:
        """Ask again for what was not delivered to some connections; tell whether that was all."""
        failed, newest = await self._failed()
        # By the id of the delivery: how often it was asked for, and which attempt was the last.
        before = self._found.get("asked", {})
        asked = self._found["asked"] = {one["guid"]: before.get(one["guid"], [0, 0])
                                        for one in failed}  # fmt: skip
        made = looked_at = 0
        for one in failed:
            times, attempt = asked[one["guid"]]
            if times >= _TRIES or attempt == one["id"]:
                continue
            concerned = [each for each in connections if _concerns(one, each)]
            if not concerned or await _has_come(one["guid"], concerned):
                continue
            if made >= _ASKED_AT_ONCE or looked_at >= _LOOKED_AT_AT_ONCE:
                return False
            looked_at += 1
            if not await self._still_holds(one, concerned[0]):
                times = _TRIES
            else:
                # Asked for twice, it comes twice, and is kept once.
                await self._client.ask("POST", f"{self._base}/{one['id']}/attempts")
                made += 1
                await _tell(one, concerned)
            asked[one["guid"]] = [times + 1, one["id"]]
        self._found["since"] = (newest or self._since).isoformat()
        return True

    @property
    def _since(self) -> datetime:
        earliest = utcnow() - _WINDOW
        known = self._found.get("since")
        return max(earliest, datetime.fromisoformat(known)) if known else earliest

    async def _failed(self) -> tuple[list[dict[str, Any]], datetime | None]:
        """Return the newest attempts at what never came, oldest first, and when the newest was."""
        since, newest = self._since - _OVERLAP, None
        last: dict[str, dict[str, Any]] = {}
        came: set[str] = set()
        pages = 0
        async for page in self._client.pages(self._base):
            pages += 1
            for one in page:
                at = _time(one["delivered_at"])
                newest = max(newest or at, at)
                if at < since:
                    continue
                last.setdefault(one["guid"], one)
                if 200 <= int(one.get("status_code") or 0) < 300:
                    came.add(one["guid"])
            if pages >= _MOST_PAGES or (page and _time(page[-1]["delivered_at"]) < since):
                break
        missing = [one for guid, one in last.items() if guid not in came]
        return [one for one in reversed(missing) if one.get("event") in EVENTS], newest

    async def _still_holds(self, one: dict[str, Any], connection: Connection) -> bool:
        """Tell whether what was to be told is how things stand now.

        GitHub keeps no order: an old push that comes late would win over a newer one.
        """
        detail = await self._client.get(f"{self._base}/{one['id']}")
        payload = (detail.get("request") or {}).get("payload") or {}
        async with client_of(self._kernel, reader_of(connection)) as client:
            if one["event"] == "push":
                ref, sha = str(payload.get("ref", "")), payload.get("after")
                if not ref.startswith(_HEADS) or payload.get("deleted") is True:
                    return False
                return await _head(client, connection, ref.removeprefix(_HEADS)) == sha
            return await _is_as_told(client, connection, payload.get("pull_request") or {})


def _concerns(one: dict[str, Any], connection: Connection) -> bool:
    """Tell whether a delivery is about the repository of a connection; a repository's own are."""
    repository, installation = one.get("repository_id"), one.get("installation_id")
    return (repository is None or str(repository) == connection.repository_id) and (
        installation is None or installation == connection.installation
    )


async def _has_come(guid: str, connections: Sequence[Connection]) -> bool:
    """Tell whether all have got a delivery, whose answer GitHub has not got."""
    sources = [f"{inbox.SOURCE}:{one.service_id}" for one in connections]
    came = Delivery.filter(source__in=sources, delivery_key=f"github:{guid}"[:200])
    return await came.count() == len(connections)


async def _tell(one: dict[str, Any], connections: Sequence[Connection]) -> None:
    for connection in connections:
        await events.record(
            "github.asked-again",
            actor="github",
            team_id=connection.team_id,
            service_id=connection.service_id,
            event=str(one["event"]),
            delivery=str(one["guid"]),
        )


async def _head(client: GitHubClient, connection: Connection, branch: str) -> str | None:
    """Return the newest commit of a branch; None if there is no such branch."""
    path = f"/repositories/{connection.repository_id}/git/ref/heads/{quote(branch, safe='/')}"
    found = await _if_there(client, path)
    return str(found["object"]["sha"]) if found else None


async def _is_as_told(client: GitHubClient, connection: Connection, told: dict[str, Any]) -> bool:
    path = f"/repositories/{connection.repository_id}/pulls/{int(told.get('number') or 0)}"
    found = await _if_there(client, path)
    if found is None:
        return False
    return (found["state"], found["head"]["sha"]) == (
        told.get("state"), (told.get("head") or {}).get("sha"),
    )  # fmt: skip


async def _if_there(client: GitHubClient, path: str) -> dict[str, Any] | None:
    try:
        found = await client.get(path)
    except GitHubRefused as error:
        if error.answered != 404:
            raise
        return None
    # A ref that is only the beginning of others is answered with a list of these.
    return found if isinstance(found, dict) else None


async def _look_at_branch(
    client: GitHubClient, task: Task, connection: Connection, service: Service
) -> None:
    """Take a branch up that has moved without a push that came, once that is certain."""
    hook = await Webhook.get_or_none(service_id=service.id)
    if hook is None or service.desired is not Desired.RUNNING:
        return
    repository = await client.get(f"/repositories/{connection.repository_id}")
    branch = (service.source_ref or repository["default_branch"]).removeprefix(_HEADS)
    head = await _head(client, connection, branch)
    at = [branch, head]
    if head is None or task.found.get("head", at) == at or await _is_known(service, head):
        task.found |= {"head": at, "missed": None}
    elif task.found["head"][0] != branch:
        # Another branch is followed: that alone deploys nothing.
        task.found |= {"head": at, "missed": None}
    elif task.found.get("missed") != head:
        # Its delivery may be on the way; the next look tells.
        task.found["missed"] = head
    else:
        commit = await client.get(f"/repositories/{connection.repository_id}/git/commits/{head}")
        push = {
            "ref": f"{_HEADS}{branch}",
            "after": head,
            # Which files have changed is not known: as of a forced push.
            "forced": True,
            "repository": repository,
            "head_commit": {"id": head, "message": commit.get("message", "")},
        }
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "Helvetia (no push came)",
            "X-GitHub-Event": "push",
            "X-GitHub-Delivery": f"branch:{head}",
        }
        await inbox.receive(hook, headers, json.dumps(push).encode())
        task.found |= {"head": at, "missed": None}


async def _is_known(service: Service, sha: str) -> bool:
    """Tell whether a commit was deployed, or a push of it has come, whatever the verdict."""
    if await Deployment.filter(Q(sha=sha) | Q(source_ref=sha), service_id=service.id).exists():
        return True
    rows = Delivery.filter(source=f"{inbox.SOURCE}:{service.id}", event=forges.UNNAMED)
    newest = rows.order_by("-created_at").limit(_REMEMBERED_DELIVERIES)
    for id in await newest.values_list("id", flat=True):
        # One by one: a body may have 25 MiB.
        row = await Delivery.get_or_none(id=id)
        if row is not None and sha.encode() in bytes(row.body):
            return True
    return False


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)
