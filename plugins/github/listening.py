"""What happens on the platform, as far as GitHub is concerned."""

from __future__ import annotations

from datetime import timedelta

from helvetia import Event, EventListener, Kernel
from helvetia.kernel.models import Service, utcnow

from . import tasks
from .addresses import repository_name
from .app import is_app
from .connections import Hooks, connect, disconnect
from .credentials import has_grant
from .models import Connection, Task
from .recovery import APP_KEY, Recovery
from .reports import REPORTED, Reports, report
from .settings import GitHubSettings

_FORGOTTEN_AFTER = timedelta(days=30)


class GitHubListener(EventListener):
    """Connects new services of people who have connected GitHub, and tells GitHub of deployments.

    Nothing is sent here: it is noted in the database, and done in the background.
    """

    name = "github"

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel
        self._has_begun = False
        hooks, recovery, reports = Hooks(kernel), Recovery(kernel), Reports(kernel)
        self.doing = tasks.Doing(
            {
                "connect": self._connect,
                "hook": hooks.look,
                "unhook": hooks.remove,
                "recover": recovery.look,
                "recover-app": recovery.look_at_app,
                "report": reports.tell,
                "comment": reports.comment,
                "retire": reports.retire,
            },
            lasting=("hook", "recover", "recover-app"),
        )

    async def on_event(self, event: Event) -> None:
        """Note what GitHub must be told or asked."""
        kind, service_id = event.kind, event.service_id
        if service_id is None:
            return
        if kind in REPORTED and event.deployment_id:
            if self._kernel.section(GitHubSettings).report:
                await report(event.deployment_id, service_id)
        elif kind == "service.created" or (
            kind == "service.changed" and "source" in event.data.get("fields", "").split(", ")
        ):
            await tasks.ask(
                "connect", f"connect:{service_id}", service=service_id, user=event.actor
            )
        elif kind == "webhook.made" and await Connection.filter(service_id=service_id).exists():
            await tasks.ask("hook", f"hook:{service_id}", service=service_id)
        elif kind == "github.connected":
            await tasks.ask("recover", f"recover:{service_id}", service=service_id)
        elif kind == "service.deleted":
            await disconnect(service_id)
        self.doing.wake()

    async def tidy(self) -> None:
        """Do what is due again, and forget what was given up long ago."""
        old = Task.filter(due_at__isnull=True, created_at__lt=utcnow() - _FORGOTTEN_AFTER)
        await old.delete()
        if not self._has_begun:
            await self._look_for_what_was_missed()
            self._has_begun = True
        self.doing.wake()

    async def _look_for_what_was_missed(self) -> None:
        """Have the time looked at in which nothing ran here."""
        settings = self._kernel.section(GitHubSettings)
        if is_app(settings) and settings.webhook_secret is not None:
            await tasks.ask("recover-app", APP_KEY)
        connected = Connection.exclude(hook_url="")
        for service_id in await connected.values_list("service_id", flat=True):
            await tasks.ask("recover", f"recover:{service_id}", service=service_id)

    async def _connect(self, task: Task) -> float | None:
        """Connect a service whose source was set by a person who has connected GitHub."""
        service = await Service.get_or_none(id=task.data["service"])
        if service is None:
            return tasks.DONE
        name = repository_name(service.source_url, self._kernel.section(GitHubSettings))
        former = await Connection.get_or_none(service_id=service.id)
        if former is not None and (name or "").lower() not in (
            former.name.lower(), former.written.lower()
        ):  # fmt: skip
            await disconnect(service.id)
        elif former is not None:
            return tasks.DONE
        if name and await has_grant(self._kernel, task.data["user"]):
            await connect(self._kernel, service, user_id=task.data["user"])
        return tasks.DONE
