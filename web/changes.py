"""Forms that change what configures a service: variables, hostnames, settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from aiohttp import web

from helvetia import InvalidInput
from helvetia.kernel.models import Role, Service

from . import credentials, settings
from .acts import Question, confirmed, question
from .fields import read_lines
from .once import show_once, shown_once
from .said import redirect
from .service_page import frame, load
from .services import show_environment
from .visit import REFUSALS, Refusal, Visit

_ENVIRONMENT = "/api/v1/services/{service}/environment"
_DOMAINS = "/api/v1/services/{service}/domains"


async def set_variables(visit: Visit) -> web.StreamResponse:
    """Set one variable, or many of lines."""
    service = await load(visit, Role.ADMIN)
    form = await visit.form()
    try:
        await visit.ask("PATCH", _ENVIRONMENT, service=service, body=wanted_variables(form))
    except REFUSALS as error:
        refusal = refusal_of_variables(visit, error, form)
        return await show_environment(visit, service, refusal, dict(form))
    raise redirect(f"/services/{service.name}/environment", "environment")


def wanted_variables(form: Mapping[str, str]) -> dict[str, Any]:
    """Return the change that a form of variables asks for, as the API takes it.

    Raises:
        InvalidInput: it names no variable.
    """
    wanted = read_lines(form.get("lines", ""))
    if name := form.get("name", "").strip():
        wanted[name] = form.get("value", "")
    if not wanted:
        raise InvalidInput("name", "names no variable")
    body: dict[str, Any] = {"set": wanted}
    if scopes := form.get("scopes", "").split():
        body["scopes"] = dict.fromkeys(wanted, scopes)
    return body


def refusal_of_variables(visit: Visit, error: Exception, form: Mapping[str, str]) -> Refusal:
    """Return why such a change was refused, by the inputs of its form."""
    refusal, name = visit.refusal(error), form.get("name", "").strip()
    fields = {_input_of(field, name): text for field, text in refusal.fields.items()}
    return Refusal(refusal.message, refusal.hint, refusal.status, fields)


async def ask_unset(visit: Visit) -> web.Response:
    """Ask whether to remove a variable."""
    service = await load(visit, Role.ADMIN)
    return question(visit, _unsetting(service, visit.request.query.get("name", "")))


async def unset(visit: Visit) -> web.StreamResponse:
    """Remove a variable."""
    service = await load(visit, Role.ADMIN)
    name = (await visit.form()).get("name", "")
    return await confirmed(
        visit, _unsetting(service, name),
        lambda: visit.ask("PATCH", _ENVIRONMENT, service=service, body={"unset": [name]}),
        to=f"/services/{service.name}/environment", said="environment",
    )  # fmt: skip


async def domains(visit: Visit) -> web.Response:
    """Show the hostnames, and what there is to say of one that was just tried."""
    told = shown_once(visit)
    refusal = Refusal(**told["refusal"]) if told else None
    return await _show_domains(visit, await load(visit), refusal, told.get("typed"))


async def add_domain(visit: Visit) -> web.StreamResponse:
    """Claim a hostname."""
    service = await load(visit, Role.ADMIN)
    form = await visit.form()
    body = {"hostname": form.get("hostname", "").strip()}
    try:
        await visit.ask("POST", _DOMAINS, service=service, body=body)
    except REFUSALS as error:
        return await _show_domains(visit, service, visit.refusal(error), dict(form))
    raise redirect(f"/services/{service.name}/domains", "domain-added")


async def verify_domain(visit: Visit) -> web.StreamResponse:
    """Look for the proof of a hostname now."""
    service = await load(visit, Role.ADMIN)
    path, name = f"{_DOMAINS}/{{hostname}}/verify", visit.part("hostname")
    try:
        found = await visit.ask("POST", path, service=service, hostname=name)
    except REFUSALS as error:
        return await _show_domains(visit, service, visit.refusal(error))
    if found.state == "pending":
        refusal = Refusal(f"{name} is not verified yet: {found.reason}", status=200)
        raise show_once(visit, f"/services/{service.name}/domains", refusal=asdict(refusal))
    raise redirect(f"/services/{service.name}/domains", "domain-verified")


async def ask_remove_domain(visit: Visit) -> web.Response:
    """Ask whether to remove a hostname."""
    service = await load(visit, Role.ADMIN)
    return question(visit, _removing(service, visit.part("hostname")))


async def remove_domain(visit: Visit) -> web.StreamResponse:
    """Remove a hostname."""
    service = await load(visit, Role.ADMIN)
    path, name = f"{_DOMAINS}/{{hostname}}", visit.part("hostname")
    return await confirmed(
        visit, _removing(service, name),
        lambda: visit.ask("DELETE", path, service=service, hostname=name),
        to=f"/services/{service.name}/domains", said="domain-removed",
    )  # fmt: skip


async def show_settings(visit: Visit) -> web.Response:
    """Show the settings as a form."""
    return await _settings(visit, await load(visit))


async def change_settings(visit: Visit) -> web.StreamResponse:
    """Change the settings."""
    service = await load(visit, Role.MEMBER)
    form = await visit.form()
    try:
        body = settings.change(service, form)
        await visit.ask("PATCH", "/api/v1/services/{service}", service=service, body=body)
    except REFUSALS as error:
        return await _settings(visit, service, visit.refusal(error), form)
    raise redirect(f"/services/{service.name}/settings", "settings")


async def danger(visit: Visit) -> web.Response:
    """Show what takes something away."""
    service = await load(visit)
    may = visit.caller.may
    deeds = []
    if may(Role.MEMBER, service.team_id):
        deeds += [
            ("Stop", "Visitors get an error page until it is started again.", "/stop",
             "Stop…", False),
            ("Clear the build cache", "The next build fetches and builds everything anew.",
             "/clear-cache", "Clear…", False),
        ]  # fmt: skip
    if may(Role.ADMIN, service.team_id):
        why = "With its releases, logs, variables, hostnames and volumes. For good."
        deeds.append(("Delete this service", why, "/delete", "Delete…", True))
    return await frame(visit, service, "service_danger.html", "danger", deeds=deeds)


async def _show_domains(
    visit: Visit,
    service: Service,
    refusal: Refusal | None = None,
    typed: Mapping[str, str] | None = None,
) -> web.Response:
    """Show the hostnames, with what was typed if it was refused."""
    found = await visit.ask("GET", _DOMAINS, service=service, query={"limit": 100})
    return await frame(
        visit, service, "service_domains.html", "domains",
        refusal=refusal, is_live=False, domains=found.items, typed=typed or {},
    )  # fmt: skip


async def _settings(
    visit: Visit,
    service: Service,
    refusal: Refusal | None = None,
    typed: Mapping[str, str] | None = None,
) -> web.Response:
    groups = settings.groups(visit.platform, service, typed)
    return await frame(
        visit, service, "service_settings.html", "settings",
        refusal=refusal, is_live=False, groups=groups,
        has_credentials=visit.has("GET", credentials.PATH)
        and not service.source_url.startswith("upload:"),
    )  # fmt: skip


def _unsetting(service: Service, name: str) -> Question:
    path = f"/services/{service.name}/environment"
    lines = (
        "Its value is kept for releases that were made with it, and shown to nobody.",
        "What runs goes on with it until the next deployment or restart.",
    )
    return Question(title=f"Remove the variable {name}?", lines=lines, label="Remove it",
                    action=f"{path}/unset", back=path, fields={"name": name})  # fmt: skip


def _removing(service: Service, name: str) -> Question:
    path = f"/services/{service.name}/domains"
    lines = (f"Who opens {name} gets an error page at once. Its certificate is given up.",)
    return Question(title=f"Remove {name}?", lines=lines, label="Remove it",
                    action=f"{path}/{name}/remove", back=path)  # fmt: skip


def _input_of(field: str, name: str) -> str:
    """Return the input that a field of the API comes from."""
    variable = field.removeprefix("set.").removeprefix("scopes.").removeprefix("environment.")
    return "name" if variable in (name, "name", "set") else "lines"
