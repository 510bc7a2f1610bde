"""What buttons do. Those that take something away ask first, on a page of their own."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from helvetia import InvalidInput
from helvetia.kernel.models import Role, Service
from helvetia.plugins.api import schemas

from . import timeline
from .said import redirect
from .service_page import NAV, load
from .visit import REFUSALS, Refusal, Visit

_SERVICE = "/api/v1/services/{service}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What is asked before something is done.

    Attributes:
        action: where the answer is sent.
        back: where it leads if it is not to be done.
        typed: what must be typed, if a click is too little.
        destroys: whether something is gone afterwards.
        fields: what is sent along.
        more: what else the template shows.
    """

    title: str
    lines: tuple[str, ...]
    label: str
    action: str
    back: str
    typed: str = ""
    destroys: bool = True
    fields: Mapping[str, str] = field(default_factory=dict)
    template: str = "confirm.html"
    more: Mapping[str, Any] = field(default_factory=dict)


def question(
    visit: Visit, asked: Question, refusal: Refusal | None = None, *, nav: str = NAV
) -> web.Response:
    """Answer with the page that asks."""
    return visit.show(
        asked.template,
        nav=nav,
        status=refusal.status if refusal else 200,
        refusal=refusal,
        title=asked.title,
        lines=asked.lines,
        label=asked.label,
        action=asked.action,
        back=asked.back,
        typed=asked.typed,
        destroys=asked.destroys,
        fields=asked.fields,
        **asked.more,
    )


async def confirmed(
    visit: Visit,
    asked: Question,
    act: Callable[[], Awaitable[object]],
    *,
    to: str,
    said: str,
    nav: str = NAV,
) -> web.Response:
    """Do what was asked about, or ask again with the reason why it was refused.

    Args:
        to: where it leads afterwards, with the note `said`.
    """
    try:
        if asked.typed and (await visit.form()).get("typed", "").strip() != asked.typed:
            raise InvalidInput("typed", f"must be `{asked.typed}`")
        await act()
    except REFUSALS as error:
        return question(visit, asked, visit.refusal(error), nav=nav)
    raise redirect(to, said)


async def deploy(visit: Visit) -> web.StreamResponse:
    """Deploy the newest commit, or the one that is named."""
    form = await visit.form()
    body = {name: form[name] for name in ("ref", "source") if form.get(name)}
    return await _deployed(visit, {"action": "deploy", **body})


async def restart(visit: Visit) -> web.StreamResponse:
    """Run the live release again."""
    return await _deployed(visit, {"action": "restart"})


async def rollback(visit: Visit) -> web.StreamResponse:
    """Bring back a release."""
    number = (await visit.form()).get("release")
    return await _deployed(visit, {"action": "rollback", "release": number})


async def start(visit: Visit) -> web.StreamResponse:
    """Start a stopped service."""
    return await _done(visit, lambda one: visit.ask("POST", f"{_SERVICE}/start", service=one))


async def stop(visit: Visit) -> web.StreamResponse:
    """Stop a service."""
    return await _done(
        visit, lambda one: visit.ask("POST", f"{_SERVICE}/stop", service=one), "stopped"
    )


async def ask_stop(visit: Visit) -> web.Response:
    """Ask whether to stop a service."""
    service = await load(visit, Role.MEMBER)
    return question(visit, _stopping(service))


async def clear_cache(visit: Visit) -> web.StreamResponse:
    """Drop what builders keep for the next build."""
    return await _done(
        visit, lambda one: visit.ask("DELETE", f"{_SERVICE}/cache", service=one), "cache"
    )


async def ask_clear_cache(visit: Visit) -> web.Response:
    """Ask whether to drop it."""
    service = await load(visit, Role.MEMBER)
    path = f"/services/{service.name}"
    lines = ("The next build takes longer: it fetches and builds everything anew.",)
    asked = Question(title=f"Clear the build cache of {service.name}?", lines=lines,
                     label="Clear", action=f"{path}/clear-cache", back=f"{path}/danger",
                     destroys=False)  # fmt: skip
    return question(visit, asked)


async def delete(visit: Visit) -> web.StreamResponse:
    """Delete a service for good."""
    service = await load(visit, Role.ADMIN)
    return await confirmed(
        visit, _deleting(service), lambda: visit.ask("DELETE", _SERVICE, service=service),
        to="/", said="deleted",
    )  # fmt: skip


async def ask_delete(visit: Visit) -> web.Response:
    """Ask whether to delete a service."""
    return question(visit, _deleting(await load(visit, Role.ADMIN)))


def _stopping(service: Service) -> Question:
    path = f"/services/{service.name}"
    lines = (
        "Its instances end after the requests in flight, and a running deployment is called off.",
        "Visitors get an error page until it is started again. Releases and variables stay.",
    )
    return Question(title=f"Stop {service.name}?", lines=lines, label="Stop it",
                    action=f"{path}/stop", back=path)  # fmt: skip


def _deleting(service: Service) -> Question:
    path = f"/services/{service.name}"
    lines = (
        "Its instances end, and its releases, logs, variables, hostnames and volumes are gone.",
        "Nobody can bring it back.",
    )
    return Question(title=f"Delete {service.name}?", lines=lines, label="Delete for good",
                    action=f"{path}/delete", back=f"{path}/danger", typed=service.name)  # fmt: skip


async def _deployed(visit: Visit, body: dict[str, Any]) -> web.StreamResponse:
    path = f"{_SERVICE}/deployments"
    return await _done(visit, lambda one: visit.ask("POST", path, service=one, body=body))


async def _done(
    visit: Visit, action: Callable[[Service], Awaitable[object]], said: str = ""
) -> web.StreamResponse:
    """Do something to a service and lead to what came of it, or say on its page why not."""
    service = await load(visit, Role.MEMBER)
    try:
        done = await action(service)
    except REFUSALS as error:
        return await timeline.show(visit, visit.refusal(error))
    if isinstance(done, schemas.Deployment):
        raise redirect(f"/deployments/{done.id}")
    raise redirect(f"/services/{service.name}", said)
