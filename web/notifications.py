"""Where a team is told of trouble: its channels, and what was sent to them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aiohttp import web

from helvetia.kernel.errors import NotFound

from .acts import Question, question
from .once import show_once, shown_once
from .said import redirect
from .service_page import BUSY, CALM
from .team import NAV, find, frame
from .visit import REFUSALS, Refusal, Visit

_CHANNELS = "/api/v1/teams/{team}/notifications"
_CHANNEL = f"{_CHANNELS}/{{channel}}"
_MESSAGES = f"{_CHANNEL}/messages"
_TOPIC = "topic."
_TAB = "notifications"
_KINDS = (
    ("slack", "Slack, or what understands its webhooks"),
    ("discord", "Discord"),
    ("email", "E-mail"),
    ("webhook", "A program: signed JSON"),
)
_TOPICS = (
    ("deployment", "Deployments that fail"),
    ("crash", "Services that do not stay up"),
    ("certificate", "Certificates that are about to end"),
    ("disk", "The platform's disk, when it is nearly full"),
)


async def index(visit: Visit) -> web.Response:
    """Show the channels of a team."""
    return await _index(visit)


async def create(visit: Visit) -> web.StreamResponse:
    """Make a channel; a secret that was made for it is then shown once."""
    team, form = visit.part("team"), await visit.form()
    body: dict[str, Any] = {**_body(form), "kind": form.get("kind", "")}
    if secret := form.get("secret", "").strip():
        body["secret"] = secret
    try:
        made = await visit.ask("POST", _CHANNELS, team=team, body=body)
    except REFUSALS as error:
        return await _index(visit, visit.refusal(error), form)
    path = f"/team/{team}/notifications/{made.id}"
    if made.secret:
        raise show_once(visit, path, secret=made.secret)
    raise redirect(path, "channel")


async def show(visit: Visit) -> web.Response:
    """Show a channel, what was sent to it, and a secret that was just made."""
    return await _show(visit, secret=shown_once(visit).get("secret", ""))


async def change(visit: Visit) -> web.StreamResponse:
    """Change a channel; no target leaves the one it has."""
    team, channel, form = visit.part("team"), visit.part("channel"), await visit.form()
    body = _body(form)
    if not body["target"]:
        del body["target"]
    try:
        await visit.ask("PATCH", _CHANNEL, team=team, channel=channel, body=body)
    except REFUSALS as error:
        return await _show(visit, visit.refusal(error), form)
    raise redirect(f"/team/{team}/notifications/{channel}", "channel")


async def test(visit: Visit) -> web.StreamResponse:
    """Send a message that says that the channel works."""
    team, channel = visit.part("team"), visit.part("channel")
    await visit.ask("POST", f"{_CHANNEL}/test", team=team, channel=channel)
    raise redirect(f"/team/{team}/notifications/{channel}", "tested")


async def ask_remove(visit: Visit) -> web.Response:
    """Ask whether to remove a channel."""
    team, channel = visit.part("team"), await _channel(visit)
    path = f"/team/{team}/notifications"
    lines = (
        "Nobody is told by it any more, and its messages that still wait are not sent.",
        "Its target is forgotten.",
    )
    asked = Question(title=f"Remove the channel {channel.name}?", lines=lines, label="Remove it",
                     action=f"{path}/{channel.id}/remove", back=path)  # fmt: skip
    return question(visit, asked, nav=NAV)


async def remove(visit: Visit) -> web.StreamResponse:
    """Remove a channel."""
    team, channel = visit.part("team"), visit.part("channel")
    await visit.ask("DELETE", _CHANNEL, team=team, channel=channel)
    raise redirect(f"/team/{team}/notifications", "channel-removed")


def _body(form: Mapping[str, str]) -> dict[str, Any]:
    return {
        "name": form.get("name", "").strip(),
        "target": form.get("target", "").strip(),
        "topics": [name for name, _ in _TOPICS if form.get(f"{_TOPIC}{name}")],
        "services": form.get("services", "").replace(",", " ").split(),
    }


async def _channel(visit: Visit) -> Any:
    """Return the channel that the path names; there are never more than a page of them."""
    wanted = visit.part("channel")
    found = await visit.ask("GET", _CHANNELS, team=visit.part("team"), query={"limit": 100})
    channel = next((one for one in found.items if one.id == wanted), None)
    if channel is None:
        raise NotFound("there is no such channel")
    return channel


async def _index(
    visit: Visit, refusal: Refusal | None = None, typed: Mapping[str, str] | None = None
) -> web.Response:
    teams, team = await find(visit, visit.part("team"))
    found = await visit.ask("GET", _CHANNELS, team=team.name, query={"limit": 100})
    return frame(
        visit, teams, team, "notifications.html", _TAB,
        refusal=refusal,
        typed=typed,
        channels=found.items,
        kinds=_KINDS,
        topics=_TOPICS,
        chosen=_body(typed)["topics"] if typed else [name for name, _ in _TOPICS],
    )  # fmt: skip


async def _show(
    visit: Visit,
    refusal: Refusal | None = None,
    typed: Mapping[str, str] | None = None,
    *,
    secret: str = "",
) -> web.Response:
    teams, team = await find(visit, visit.part("team"))
    channel = await _channel(visit)
    query = {"limit": 50, "cursor": visit.request.query.get("cursor")}
    found = await visit.ask_if_there(
        "GET", _MESSAGES, team=team.name, channel=channel.id, query=query
    )
    messages = found.items if found else []
    is_waiting = any(one.status == "waiting" for one in messages)
    now = {"name": channel.name, "services": ", ".join(channel.services)}
    return frame(
        visit, teams, team, "notification.html", _TAB,
        refusal=refusal,
        typed=typed or now,
        live=0 if refusal or secret else BUSY if is_waiting else CALM,
        channel=channel,
        secret=secret,
        messages=messages,
        next=found.next if found else None,
        topics=_TOPICS,
        chosen=_body(typed)["topics"] if typed else channel.topics,
    )  # fmt: skip
