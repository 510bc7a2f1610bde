"""The first page of a service: what happened to it, when, by whom and why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from aiohttp import web

from helvetia.kernel.models import Deployment, Service, User
from helvetia.plugins.api import schemas

from .filters import first_line, short, took
from .service_page import frame, load
from .services import known_instances
from .visit import Refusal, Visit

_ENTRIES = 40
_ENDS = ("live", "failed", "cancelled", "superseded", "rolled_back")
# What is made of an event: icon, tone and words, with the event's own data in braces.
_KINDS: dict[str, tuple[str, str, str]] = {
    "deployment.queued": ("clock", "busy", "Deployment #{number} was asked for"),
    "deployment.live": ("check", "good", "Deployment #{number} went live"),
    "deployment.failed": ("cross", "bad", "Deployment #{number} failed"),
    "deployment.cancelled": ("slash", "idle", "Deployment #{number} was cancelled"),
    "deployment.superseded": ("skip", "idle", "Deployment #{number} gave way to a newer one"),
    "deployment.cancel-requested": ("slash", "idle", "Deployment #{number} was called off"),
    "deployment.rolled_back": ("undo", "warn", "Deployment #{number} was taken back"),
    "instance.restarted": ("undo", "warn", "An instance of r{release} ended and was started again"),
    "service.created": ("plus", "idle", "The service was made"),
    "service.changed": ("gear", "idle", "Settings were changed: {fields}"),
    "service.stop-requested": ("pause", "idle", "Stopping was asked for"),
    "service.stopped": ("pause", "idle", "The service is stopped"),
    "service.delete-requested": ("bin", "bad", "Deleting was asked for"),
    "environment.changed": ("key", "idle", "Variables were changed"),
    "domain.added": ("globe", "idle", "Hostname {hostname} was added"),
    "domain.verified": ("globe", "good", "Hostname {hostname} was verified"),
    "domain.removed": ("globe", "idle", "Hostname {hostname} was removed"),
    "credentials.given": ("key", "idle", "Credentials of the repository were given"),
    "credentials.removed": ("key", "idle", "Credentials of the repository were removed"),
    "webhook.changed": ("hook", "idle", "The webhook was changed"),
    "webhook.made": ("hook", "idle", "The webhook was made"),
    "webhook.removed": ("hook", "idle", "The webhook was removed"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One thing that happened."""

    id: str
    icon: str
    tone: str
    title: str
    time: datetime
    href: str = ""
    detail: str = ""
    is_bad: bool = False
    actor: str = ""


class _Known(dict[str, str]):
    def __missing__(self, key: str) -> str:
        return ""


async def show(visit: Visit, refusal: Refusal | None = None) -> web.Response:
    """Show a service."""
    service = await load(visit)
    path = "/api/v1/services/{service}/events"
    query = {"limit": _ENTRIES, "cursor": visit.request.query.get("cursor")}
    found = await visit.ask("GET", path, service=service, query=query)
    entries = await _entries(visit, service, found.items, has_more=found.next is not None)
    return await frame(
        visit, service, "service_timeline.html", "",
        refusal=refusal,
        entries=entries,
        next=found.next,
        instances=await known_instances(service),
    )  # fmt: skip


async def _entries(
    visit: Visit, service: Service, events: Sequence[schemas.Event], *, has_more: bool
) -> list[Entry]:
    ids = {event.deployment_id for event in events if event.deployment_id}
    rows = await Deployment.filter(id__in=list(ids)) if ids else []
    known = {row.id: row for row in rows}
    people = {event.actor for event in events if event.actor}
    users = await User.filter(id__in=list(people)).only("id", "name") if people else []
    names = {user.id: user.name for user in users}
    ended = {e.deployment_id for e in events if e.kind.removeprefix("deployment.") in _ENDS}
    asked = {e.deployment_id: e.actor for e in events if e.kind == "deployment.queued"}
    made = []
    for event in events:
        # That it was asked for goes without saying once it has ended.
        if event.kind == "deployment.queued" and event.deployment_id in ended:
            continue
        actor = event.actor or asked.get(event.deployment_id, "")
        made.append(_entry(event, known.get(event.deployment_id or ""), names.get(actor, "")))
    made += await _deliveries(visit, service, events, has_more=has_more)
    return sorted(made, key=lambda entry: entry.time, reverse=True)


def _entry(event: schemas.Event, deployment: Deployment | None, actor: str) -> Entry:
    data = _Known(event.data)
    if deployment is not None:
        data["number"] = str(deployment.number)
    words = event.kind.replace(".", " ").replace("-", " ").replace("_", " ").capitalize()
    icon, tone, title = _KINDS.get(event.kind, ("ring", "idle", words))
    detail, is_bad = _detail(event, deployment), tone == "bad"
    return Entry(
        id=event.id, icon=icon, tone=tone, title=title.format_map(data), time=event.time,
        href=f"/deployments/{event.deployment_id}" if event.deployment_id else "",
        detail=detail, is_bad=is_bad, actor=actor,
    )  # fmt: skip


def _detail(event: schemas.Event, deployment: Deployment | None) -> str:
    data = event.data
    if deployment is not None:
        what = " ".join(filter(None, (short(deployment.sha), first_line(deployment.message))))
        is_over = event.kind == "deployment.live"
        parts = (data.get("reason", ""), what, f"took {took(deployment)}" if is_over else "")
        return " · ".join(filter(None, parts))
    if event.kind == "environment.changed":
        set_, unset = data.get("set", ""), data.get("unset", "")
        return "; ".join(filter(None, (set_ and f"set {set_}", unset and f"removed {unset}")))
    if event.kind in _KINDS:
        return data.get("reason", "")
    return ", ".join(f"{name} {value}" for name, value in data.items() if value)


async def _deliveries(
    visit: Visit, service: Service, events: Sequence[schemas.Event], *, has_more: bool
) -> list[Entry]:
    """Return what was received in the time of these events."""
    path = "/api/v1/services/{service}/deliveries"
    found = await visit.ask_if_there("GET", path, service=service, query={"limit": 100})
    if found is None:
        return []
    is_first = "cursor" not in visit.request.query
    oldest = events[-1].time if events and has_more else None
    newest = None if is_first or not events else events[0].time
    return [
        Entry(
            id=one.id, icon="hook", time=one.created_at,
            tone={"deployed": "good", "refused": "bad"}.get(one.verdict, "idle"),
            title=f"Delivery {one.event}: {one.verdict}",
            href=f"/services/{service.name}/deliveries/{one.id}",
            detail=one.reason, is_bad=one.verdict == "refused",
        )
        for one in found.items
        if (oldest is None or one.created_at >= oldest)
        and (newest is None or one.created_at <= newest)
    ]  # fmt: skip
