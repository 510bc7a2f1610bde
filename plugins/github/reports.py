"""What GitHub is told: commit statuses, deployments, one comment on a pull request."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import quote

from helvetia.kernel.domains import default_hostname
from helvetia.kernel.models import Deployment, DeploymentStatus, Service, Trigger
from helvetia.plugins.api.views import url_maker

from . import tasks
from .client import GitHubClient
from .credentials import client_of, reader_of, require_usable
from .errors import GitHubRefused
from .models import Connection, Task
from .settings import GitHubSettings

if TYPE_CHECKING:
    from helvetia import Kernel
    from helvetia.kernel.platform import Platform

REPORTED = frozenset(
    f"deployment.{what}" for what in ("queued", "live", "failed", "cancelled", "superseded")
)
"""Events after which GitHub is told."""
_SHA = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")
_LONGEST = 140
# State of a deployment at GitHub, and of a commit.
_STATES: dict[DeploymentStatus, tuple[str, str]] = {
    DeploymentStatus.QUEUED: ("queued", "pending"),
    DeploymentStatus.RUNNING: ("in_progress", "pending"),
    DeploymentStatus.LIVE: ("success", "success"),
    DeploymentStatus.FAILED: ("failure", "failure"),
    DeploymentStatus.CANCELLED: ("error", "error"),
    DeploymentStatus.SUPERSEDED: ("inactive", "error"),
    DeploymentStatus.ROLLED_BACK: ("inactive", "success"),
}
_WORDS: dict[DeploymentStatus, str] = {
    DeploymentStatus.QUEUED: "Waits for its turn",
    DeploymentStatus.RUNNING: "Is being deployed",
    DeploymentStatus.LIVE: "Live",
    DeploymentStatus.ROLLED_BACK: "Was live, another version is now",
}


async def report(deployment_id: str, service_id: str) -> None:
    """Have GitHub told how a deployment stands, if its service is connected."""
    if await Connection.filter(service_id=service_id).exists():
        await tasks.ask("report", f"report:{deployment_id}", deployment=deployment_id)


class Reports:
    """Tells GitHub. How things stand is read when it is told, so that the newest news wins."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel

    async def tell(self, task: Task) -> float | None:
        """Tell how a deployment stands.

        Raises:
            GitHubError: GitHub fails or refuses.
        """
        deployment = await Deployment.get_or_none(id=task.data["deployment"])
        service = await Service.get_or_none(id=deployment.service_id) if deployment else None
        connection = await Connection.get_or_none(service_id=service.id) if service else None
        if deployment is None or service is None or connection is None:
            return tasks.DONE
        sha = deployment.sha or deployment.source_ref or ""
        is_told = task.found.get("told") == deployment.status.value
        if is_told or not _SHA.fullmatch(sha):
            return tasks.DONE if deployment.status.is_final else None
        await require_usable(connection)
        url = await self._url(service)
        about = {
            "description": _words(deployment),
            "log_url": self._log_url(deployment),
        }
        base = f"/repositories/{connection.repository_id}"
        async with client_of(self._kernel, reader_of(connection)) as client:
            state, commit_state = _STATES[deployment.status]
            if task.found.get("status") != commit_state:
                body = {
                    "state": commit_state,
                    "context": f"helvetia/{service.name}",
                    "description": about["description"],
                    "target_url": about["log_url"] or url,
                }
                await client.ask("POST", f"{base}/statuses/{sha}", body=_without_none(body))
                task.found["status"] = commit_state
            number = await self._deployment(client, base, task, service, deployment, sha)
            body = {
                "state": state,
                **about,
                "environment": service.name,
                "environment_url": url if deployment.status is DeploymentStatus.LIVE else None,
            }
            path = f"{base}/deployments/{number}/statuses"
            await client.ask("POST", path, body=_without_none(body))
        task.found["told"] = deployment.status.value
        return tasks.DONE if deployment.status.is_final else None

    async def comment(self, task: Task) -> float | None:
        """Write one comment on a pull request, or write the one that is there anew.

        Raises:
            GitHubError: GitHub fails or refuses.
        """
        data = task.data
        connection = await Connection.get_or_none(service_id=data["service"])
        if connection is None:
            return tasks.DONE
        await require_usable(connection)
        base = f"/repositories/{connection.repository_id}/issues"
        body = {"body": f"{data['marker']}\n{data['text']}"}
        async with client_of(self._kernel, reader_of(connection)) as client:
            number = task.found.get("comment")
            path = f"{base}/{data['number']}/comments"
            if number is None:
                async for page in client.pages(path):
                    mine = (one["id"] for one in page if data["marker"] in (one["body"] or ""))
                    number = next(mine, number)
            if number is not None:
                try:
                    await client.ask("PATCH", f"{base}/comments/{number}", body=body)
                except GitHubRefused as error:
                    # Somebody deleted it: another one is written.
                    if error.answered != 404:
                        raise
                    number = None
            if number is None:
                number = (await client.ask("POST", path, body=body)).data["id"]
        task.found["comment"] = number
        return None

    async def retire(self, task: Task) -> float | None:
        """Say that an environment is not there any more.

        Raises:
            GitHubError: GitHub fails or refuses.
        """
        data = task.data
        connection = await Connection.get_or_none(service_id=data["service"])
        if connection is None:
            return tasks.DONE
        base = f"/repositories/{connection.repository_id}/deployments"
        async with client_of(self._kernel, reader_of(connection)) as client:
            async for page in client.pages(base, environment=data["environment"]):
                for one in page:
                    path = f"{base}/{one['id']}/statuses"
                    await client.ask("POST", path, body={"state": "inactive"})
        return tasks.DONE

    async def _deployment(
        self,
        client: GitHubClient,
        base: str,
        task: Task,
        service: Service,
        deployment: Deployment,
        sha: str,
    ) -> int:
        """Return GitHub's number of a deployment; made once, whatever dies in between."""
        if (known := task.found.get("number")) is not None:
            return int(known)
        async for page in client.pages(f"{base}/deployments", sha=sha, environment=service.name):
            for one in page:
                payload = one.get("payload")
                if isinstance(payload, dict) and payload.get("helvetia") == deployment.id:
                    task.found["number"] = one["id"]
                    return int(one["id"])
        is_preview = deployment.trigger is Trigger.PREVIEW
        body = {
            "ref": sha,
            "environment": service.name,
            "description": f"Deployment {deployment.number} of {service.name}",
            "auto_merge": False,
            "required_contexts": [],
            "transient_environment": is_preview,
            "production_environment": not is_preview,
            "payload": {"helvetia": deployment.id},
        }
        made = (await client.ask("POST", f"{base}/deployments", body=body)).data
        task.found["number"] = made["id"]
        return int(made["id"])

    async def _url(self, service: Service) -> str:
        # What the kernel lends to plugins is the platform itself.
        url = await url_maker(cast("Platform", self._kernel))
        return url(default_hostname(service, self._kernel.domain))

    def _log_url(self, deployment: Deployment) -> str | None:
        origin = self._kernel.section(GitHubSettings).public_url
        return f"{origin.rstrip('/')}/deployments/{quote(deployment.id)}" if origin else None


def _words(deployment: Deployment) -> str:
    text = _WORDS.get(deployment.status) or deployment.reason or deployment.status.value.lower()
    line = " ".join(text.split())
    return line if len(line) <= _LONGEST else f"{line[: _LONGEST - 1]}…"


def _without_none(body: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in body.items() if value is not None}
