"""Make, deploy and remove previews. Each step may be done again after a crash."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, cast

from tortoise.transactions import in_transaction

from helvetia.kernel import environment, events
from helvetia.kernel.errors import Conflict, HelvetiaError
from helvetia.kernel.models import Desired, Scope, Service, Trigger, utcnow
from helvetia.kernel.pipeline.queue import DeploymentRequest, enqueue
from helvetia.plugins.api import services
from helvetia.plugins.api.inputs import NewService
from helvetia.plugins.github import tasks
from helvetia.plugins.github.models import Connection
from helvetia.plugins.sources.git.credentials import keeping
from helvetia.plugins.webhooks.pulls import PullRequest

from .models import Preview, PreviewPolicy, PreviewState

if TYPE_CHECKING:
    from helvetia import Kernel
    from helvetia.kernel.platform import Platform

ACTOR = "previews"
_LONGEST_NAME = 63


async def deploy(
    kernel: Kernel, parent: Service, policy: PreviewPolicy, preview: Preview, pull: PullRequest
) -> str:
    """Deploy the commit of a pull request at its own address; return the deployment's id.

    Raises:
        Conflict: there are as many previews as may be, or the name is taken.
    """
    platform = cast("Platform", kernel)  # what the kernel lends to plugins is the platform itself
    service = await _service(platform, parent, policy, preview, pull)
    await _share(platform, parent, service, is_fork=pull.is_fork)
    values: dict[str, Any] = {
        "state": PreviewState.OPEN,
        "reason": "",
        "sha": pull.sha,
        "branch": pull.branch,
        "title": pull.title,
        "author": pull.author,
        "is_fork": pull.is_fork,
        "url": pull.url,
        "expires_at": utcnow() + timedelta(hours=policy.hours),
    }
    await Preview.filter(id=preview.id).update(**values)
    await Service.filter(id=service.id).update(source_ref=pull.sha)
    request = DeploymentRequest(
        trigger=Trigger.PREVIEW,
        ref=pull.sha,
        idempotency_key=f"preview:{preview.seen_at.isoformat()}:{pull.sha}",
    )
    deployment, _ = await enqueue(await Service.get(id=service.id), request)
    return deployment.id


async def close(preview: Preview, reason: str) -> None:
    """Remove a preview, and tell GitHub that its environment is gone."""
    service = await Service.get_or_none(id=preview.service_id) if preview.service_id else None
    if service is not None:
        await services.delete(service, actor=ACTOR)
    was_open = await Preview.filter(id=preview.id, state=PreviewState.OPEN).update(
        state=PreviewState.CLOSED, reason=reason[:500]
    )
    if not was_open:
        return
    about = {"service": preview.parent_id, "environment": preview.name}
    await tasks.ask("retire", f"retire:{preview.id}", **about)
    await comment(preview, f"**Preview** removed: {reason}.")


async def comment(preview: Preview, text: str) -> None:
    """Have one comment on the pull request say how its preview stands."""
    marker = f"<!-- helvetia:preview:{preview.id} -->"
    about = {"service": preview.parent_id, "number": preview.number}
    await tasks.ask("comment", f"comment:{preview.id}", **about, marker=marker, text=text)


async def _service(
    platform: Platform,
    parent: Service,
    policy: PreviewPolicy,
    preview: Preview,
    pull: PullRequest,
) -> Service:
    """Return the service of a preview, made if there is none.

    Raises:
        Conflict: there are as many previews as may be, or the name is taken.
    """
    known = await Service.get_or_none(id=preview.service_id) if preview.service_id else None
    if known is not None and known.desired is not Desired.DELETED:
        return known
    async with in_transaction():
        # Takes the row lock: two at once must not both be the last that may be.
        await Service.filter(id=parent.id).update(name=parent.name)
        others = Preview.filter(parent_id=parent.id, state=PreviewState.OPEN)
        if await others.exclude(id=preview.id).count() >= policy.limit:
            raise Conflict(
                f"{parent.name} has {policy.limit} previews already",
                hint="close a pull request, or raise the limit",
            )
        name = f"pr-{pull.number}-{parent.name}"[:_LONGEST_NAME].rstrip("-")
        if await Service.filter(name=name).exists():
            raise Conflict(f"the name {name} is taken, perhaps by a preview that is being removed")
        made = await services.create(
            platform,
            NewService.model_validate(
                {
                    "name": name,
                    "source": parent.source_url,
                    "ref": pull.sha,
                    "type": parent.type,
                    "settings": _settings(parent),
                }
            ),
            team_id=parent.team_id,
            actor=ACTOR,
            # Files of this machine are not for strangers.
            trusted=parent.source_trusted and not pull.is_fork,
        )
        await _connect(parent, made)
        await keeping.share(platform, parent.id, made.id)
        await Preview.filter(id=preview.id).update(
            service_id=made.id, name=name, state=PreviewState.OPEN
        )
        await events.record(
            "preview.opened", actor=ACTOR, team_id=parent.team_id, service_id=parent.id,
            number=str(pull.number), name=name,
        )  # fmt: skip
    preview.service_id, preview.name = made.id, name
    return made


def _settings(parent: Service) -> dict[str, Any]:
    """Return the parent's settings, with one instance and without what it keeps in volumes."""
    return {**parent.settings, "replicas": 1, "volumes": {}}


async def _connect(parent: Service, made: Service) -> None:
    """Let a preview be read as its parent is; the parent's webhook is the only one."""
    found = await Connection.get_or_none(service_id=parent.id)
    if found is None:
        return
    await Connection.create(
        service_id=made.id,
        team_id=found.team_id,
        user_id=found.user_id,
        repository_id=found.repository_id,
        name=found.name,
        written=found.written,
        private=found.private,
        installation=found.installation,
    )


async def _share(platform: Platform, parent: Service, service: Service, *, is_fork: bool) -> None:
    """Give a preview those variables of its parent that are for previews; one of a fork none."""
    wanted: dict[str, str] = {}
    scopes: dict[str, list[Scope]] = {}
    if not is_fork:
        version = parent.environment_version
        rows = await environment.current(parent.id, version)
        wanted = await environment.values(parent.id, version, platform.vault, Scope.PREVIEW)
        scopes = {
            name: [scope for scope in Scope if scope in rows[name].scopes.split()]
            for name in wanted
        }
    present = await environment.values(service.id, service.environment_version, platform.vault)
    gone = [name for name in present if name not in wanted]
    changed = {name: value for name, value in wanted.items() if present.get(name) != value}
    if changed or gone:
        await environment.change(
            service, platform.vault, set=changed, unset=gone,
            scopes={name: scopes[name] for name in changed}, actor=ACTOR,
        )  # fmt: skip


def told(error: HelvetiaError) -> str:
    """Return why there is no preview, for the delivery that asked for it."""
    return f"{error.message} ({error.hint})" if error.hint else error.message
