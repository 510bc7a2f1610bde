"""What happens to pull requests and to previews."""

from __future__ import annotations

from datetime import timedelta
from urllib.parse import quote

from helvetia import Event, EventListener, HelvetiaError, Kernel
from helvetia.kernel.domains import default_hostname
from helvetia.kernel.models import Delivery, Deployment, DeploymentStatus, Service, utcnow
from helvetia.plugins.api.views import url_maker
from helvetia.plugins.github import tasks
from helvetia.plugins.github.credentials import client_of, reader_of
from helvetia.plugins.github.errors import GitHubError, GitHubRefused
from helvetia.plugins.github.models import Connection, Task
from helvetia.plugins.webhooks import inbox, verdicts
from helvetia.plugins.webhooks.models import Webhook
from helvetia.plugins.webhooks.pulls import PullRequest, read_pull
from helvetia.plugins.webhooks.reading import read_payload

from . import previewing
from .judging import Judgement, judge
from .models import Preview, PreviewPolicy, PreviewState

_EVENT = "pull_request"
_LOST_AFTER = timedelta(seconds=30)
_MAY_WRITE = ("admin", "maintain", "write")
_TOLD = {
    DeploymentStatus.QUEUED: "waits for its turn",
    DeploymentStatus.RUNNING: "is being deployed",
    DeploymentStatus.LIVE: "is live",
    DeploymentStatus.FAILED: "failed",
    DeploymentStatus.CANCELLED: "was cancelled",
}


class PreviewListener(EventListener):
    """Looks at deliveries about pull requests, in the background, and after previews."""

    name = "previews"

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel
        self.doing = tasks.Doing({"preview": self._look})

    async def on_event(self, event: Event) -> None:
        """Note what is to be looked at."""
        if event.kind == "webhook.received" and event.data.get("event") == _EVENT:
            await self._note(event.data["delivery"])
        elif event.kind == "service.deleted" and event.service_id:
            await self._gone(event.service_id)
        elif event.kind.startswith("deployment.") and event.service_id:
            await self._tell(event.service_id)
        else:
            return
        self.doing.wake()

    async def tidy(self) -> None:
        """Remove previews whose time is over, and look at what a crash left lying."""
        over = Preview.filter(state=PreviewState.OPEN, expires_at__lt=utcnow())
        for preview in await over.limit(20):
            await previewing.close(preview, "nothing was pushed for a while")
        waiting = Delivery.filter(
            event=_EVENT, verdict=verdicts.RECEIVED, created_at__lt=utcnow() - _LOST_AFTER
        )
        for id in await waiting.limit(50).values_list("id", flat=True):
            await self._note(str(id))
        self.doing.wake()

    async def _note(self, delivery: str) -> None:
        await tasks.ask("preview", f"preview:{delivery}", delivery=delivery)

    async def _look(self, task: Task) -> float | None:
        """Do what a delivery asks for, and write down with it what was done.

        Raises:
            GitHubError: it cannot be asked who the author is.
        """
        delivery = await Delivery.get_or_none(id=task.data["delivery"])
        service = await Service.get_or_none(id=delivery.service_id) if delivery else None
        if delivery is None or service is None or delivery.verdict != verdicts.RECEIVED:
            return tasks.DONE
        try:
            pull = await _pull_of(delivery)
            reason, deployment = await self._act(delivery, service, pull)
        except GitHubError:
            raise
        except HelvetiaError as error:
            reason, deployment = previewing.told(error), None
        await Delivery.filter(id=delivery.id).update(
            verdict=inbox.DEPLOYED if deployment else inbox.IGNORED,
            reason=reason,
            deployment_id=deployment,
        )
        return tasks.DONE

    async def _act(
        self, delivery: Delivery, service: Service, pull: PullRequest
    ) -> tuple[str, str | None]:
        policy = await PreviewPolicy.get_or_none(service_id=service.id)
        hook = await Webhook.get_or_none(service_id=service.id)
        known = hook.repository_id if hook else ""
        connection = await Connection.get_or_none(service_id=service.id)
        known = connection.repository_id if connection else known
        judgement = judge(pull, service, policy, repository_id=known)
        if judgement.ask_author:
            judgement = await self._asked(judgement, pull, connection)
        preview = await Preview.get_or_none(parent_id=service.id, number=pull.number)
        if preview is not None and preview.seen_at > delivery.created_at:
            return f"a newer event of pull request {pull.number} has come", None
        if judgement.deploy and preview is None:
            preview = await Preview.create(
                parent_id=service.id, number=pull.number, seen_at=delivery.created_at
            )
        if preview is None:
            return judgement.reason, None
        await Preview.filter(id=preview.id).update(seen_at=delivery.created_at)
        preview.seen_at = delivery.created_at
        if judgement.deploy and policy is not None:
            return judgement.reason, await previewing.deploy(
                self._kernel, service, policy, preview, pull
            )
        if judgement.close and preview.state is PreviewState.OPEN:
            await previewing.close(preview, judgement.reason)
            return f"{judgement.reason}; its preview goes", None
        return judgement.reason, None

    async def _asked(
        self, judgement: Judgement, pull: PullRequest, connection: Connection | None
    ) -> Judgement:
        """Ask GitHub whether those behind a fork may write to the repository anyway.

        Not only its author: whoever pushes to the fork is asked after too.

        Raises:
            GitHubError: it does not answer.
        """
        if connection is None:
            return Judgement(reason="only GitHub knows whether the author may write: connect it")
        base = f"/repositories/{connection.repository_id}/collaborators"
        async with client_of(self._kernel, reader_of(connection)) as client:
            for login in dict.fromkeys((pull.author, pull.sender or pull.author)):
                try:
                    found = await client.get(f"{base}/{quote(login, safe='')}/permission")
                except GitHubRefused:
                    found = {}
                if found.get("permission") not in _MAY_WRITE:
                    who = f"{login}, who may not write"
                    return Judgement(reason=f"pull request {pull.number} is from a fork of {who}")
        return judgement

    async def _gone(self, service_id: str) -> None:
        """Close the previews of a service that is gone, or note that one of them is."""
        for preview in await Preview.filter(parent_id=service_id):
            await previewing.close(preview, "its service was deleted")
        await PreviewPolicy.filter(service_id=service_id).delete()
        for preview in await Preview.filter(service_id=service_id, state=PreviewState.OPEN):
            await previewing.close(preview, "it was deleted")

    async def _tell(self, service_id: str) -> None:
        """Write on the pull request how its preview stands."""
        preview = await Preview.get_or_none(service_id=service_id, state=PreviewState.OPEN)
        service = await Service.get_or_none(id=service_id) if preview else None
        if preview is None or service is None:
            return
        newest = await Deployment.filter(service_id=service_id).order_by("-number").first()
        if newest is None or newest.status not in _TOLD:
            return
        url = (await url_maker(self._kernel))(default_hostname(service, self._kernel.domain))  # type: ignore[arg-type]
        where = (
            f"[{service.name}]({url})" if newest.status is DeploymentStatus.LIVE else service.name
        )
        at = f" ({newest.reason_code})" if newest.status is DeploymentStatus.FAILED else ""
        text = f"**Preview** {where} of {preview.sha[:7]} {_TOLD[newest.status]}{at}."
        await previewing.comment(preview, text)


async def _pull_of(delivery: Delivery) -> PullRequest:
    """Read the pull request of a delivery.

    Raises:
        BadRequest: it says too little.
    """
    return read_pull(await read_payload(delivery.headers, bytes(delivery.body)))
