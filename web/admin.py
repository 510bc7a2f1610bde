"""Pages of the installation: plugins, workers and the queue."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from aiohttp import web

from helvetia.kernel import events
from helvetia.kernel.errors import Forbidden, NotFound
from helvetia.kernel.plugin_state import disabled_plugins, set_disabled

from .acts import Question, question
from .said import redirect
from .service_page import CALM
from .visit import REFUSALS, Visit

_NAV = "admin"
# Name, title, and the endpoint without which there is no such page.
_PAGES = (
    ("plugins", "Plugins", ""),
    ("workers", "Workers and queue", "/api/v1/workers"),
    ("audit", "Audit", "/api/v1/audit"),
)
_FILTERS = ("actor", "service", "kind", "cursor")
_WITHOUT = {
    "dashboard": "There are no pages any more, this one neither: "
    "`helvetia plugins enable dashboard` brings them back.",
    "api": "Neither the pages nor the command can do anything without it.",
}


async def plugins(visit: Visit) -> web.Response:
    """List the installed plugins."""
    query = {"limit": 100, "cursor": visit.request.query.get("cursor")}
    found = await visit.ask("GET", "/api/v1/plugins", query=query)
    return _show(
        visit, "admin_plugins.html", "plugins",
        live=CALM,
        plugins=found.items,
        more_plugins=found.next,
        next_off=disabled_plugins(visit.platform.home),
    )  # fmt: skip


async def checks(visit: Visit) -> web.Response:
    """Ask every provider whether it is usable here."""
    found = await visit.ask("GET", "/api/v1/checks", query={"limit": 100})
    return _show(visit, "admin_checks.html", "plugins", checks=found.items)


async def ask_disable(visit: Visit) -> web.Response:
    """Ask whether to switch a plugin off."""
    name = _plugin(visit)
    about = (
        "From the next start of the platform on it is not loaded. Services that need it keep"
        " running, but cannot be deployed. Its tables stay.",
        *filter(None, [_WITHOUT.get(name)]),
    )
    asked = Question(title=f"Switch the plugin {name} off?", lines=about, label="Switch it off",
                     action=f"/admin/plugins/{name}/disable", back="/admin/plugins")  # fmt: skip
    return question(visit, asked, nav=_NAV)


async def disable(visit: Visit) -> web.StreamResponse:
    """Switch a plugin off, from the next start on."""
    name = _plugin(visit)
    set_disabled(visit.platform.home, name, True)
    await events.record("plugin.disabled", actor=visit.caller.user.id, plugin=name)
    raise redirect("/admin/plugins", "plugin")


async def enable(visit: Visit) -> web.StreamResponse:
    """Switch a plugin on again, from the next start on."""
    name = _plugin(visit)
    set_disabled(visit.platform.home, name, False)
    await events.record("plugin.enabled", actor=visit.caller.user.id, plugin=name)
    raise redirect("/admin/plugins", "plugin")


async def workers(visit: Visit) -> web.Response:
    """Show who works, and what waits."""
    found = await visit.ask("GET", "/api/v1/workers", query={"limit": 100})
    queue = await visit.ask("GET", "/api/v1/queue")
    return _show(
        visit, "admin_workers.html", "workers", live=CALM, workers=found.items, queue=queue
    )


async def audit(visit: Visit) -> web.Response:
    """Show who changed what."""
    given = {name: visit.request.query.get(name, "").strip() for name in _FILTERS}
    query = {name: text for name, text in given.items() if text}
    typed = {name: text for name, text in query.items() if name != "cursor"}
    refusal, found = None, None
    try:
        found = await visit.ask("GET", "/api/v1/audit", query={"limit": 50, **query})
    except REFUSALS as error:
        refusal = visit.refusal(error)
    following = urlencode({**typed, "cursor": found.next}) if found and found.next else ""
    return _show(
        visit, "admin_audit.html", "audit",
        status=refusal.status if refusal else 200,
        refusal=refusal,
        entries=found.items if found else [],
        next=following,
        typed=typed,
    )  # fmt: skip


def _plugin(visit: Visit) -> str:
    """Return the plugin that the path names, to an operator."""
    if not visit.caller.user.is_operator:
        raise Forbidden("only operators of the installation may do this")
    name = visit.part("plugin")
    if visit.platform.plugins.get(name) is None:
        raise NotFound("there is no such plugin")
    return name


def _show(visit: Visit, template: str, tab: str, **values: Any) -> web.Response:
    is_operator = visit.caller.user.is_operator
    tabs = [
        (name, title)
        for name, title, needs in _PAGES
        if not needs or (visit.has("GET", needs) and (is_operator or name != "workers"))
    ]
    return visit.show(template, nav=_NAV, tabs=tabs, tab=tab, is_operator=is_operator, **values)
