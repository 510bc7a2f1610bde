"""A new service in three steps: where it comes from, how it would be built, what it gets.

Nothing is made before the last one. Each step has an address with what was typed so far, so that
it can be looked at again; what may be secret is no part of it, and goes along in the forms.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any
from urllib.parse import urlencode

from aiohttp import web

from helvetia.kernel.http.access import load_service
from helvetia.kernel.models import Role
from helvetia.plugins.api.inputs import Limits

from .fields import Field, fields_of, read, read_lines
from .once import show_once
from .said import redirect
from .service_page import NAV
from .settings import types_of
from .visit import REFUSALS, Refusal, Visit

_STEPS = ("source", "plan", "details")
_SLUG = re.compile(r"[^a-z0-9]+")
# Which fields of the API belong to which step, to lead back to it.
_OF_SOURCE = ("source", "ref")
_IN_ADDRESS = (*_OF_SOURCE, "type", "github", "name", "hostname",
               "limits.cpu", "limits.memory_mb", "limits.pids")  # fmt: skip


async def begin(visit: Visit) -> web.Response:
    """Ask where the service comes from, or show the step that the address names."""
    query = visit.request.query
    form = {name: query[name] for name in _IN_ADDRESS if name in query}
    # Another site must not have a repository fetched by a link to a plan.
    is_elsewhere = visit.request.headers.get("Sec-Fetch-Site") == "cross-site"
    return await _show(visit, "source" if is_elsewhere else query.get("step", "source"), form)


async def go_on(visit: Visit) -> web.StreamResponse:
    """Take a step: lead to its address, or create the service."""
    form = dict(await visit.form())
    step = form.get("step", "")
    if step == "create":
        try:
            return await _create(visit, form)
        except REFUSALS as error:
            return await _lead_back(visit, step, form, visit.refusal(error))
    if _is_for_addresses(form):
        given = {name: form[name] for name in _IN_ADDRESS if form.get(name, "").strip()}
        raise redirect(f"/new?{urlencode({'step': step, **given})}")
    # Answered here, since variables would stand in the address, or be lost. Only who goes back
    # from the last step has any; who then loads the page again is asked by the browser.
    return await _show(visit, step, form)


async def _show(visit: Visit, step: str, form: dict[str, str]) -> web.Response:
    """Show a step, or the one that it is led back to."""
    if step == "details" and form.get("source"):
        return await _step(visit, "details", form)
    if step == "plan":
        try:
            return await _step(visit, "plan", form, plan=await _plan(visit, form))
        except REFUSALS as error:
            return await _lead_back(visit, step, form, visit.refusal(error))
    return await _step(visit, "source", form)


def _is_for_addresses(form: Mapping[str, str]) -> bool:
    """Tell whether nothing of what was typed may be secret."""
    scheme, _, rest = form.get("source", "").strip().partition("://")
    has_password = scheme.lower() in ("http", "https") and "@" in rest.partition("/")[0]
    return not has_password and not form.get("environment", "").strip()


async def _plan(visit: Visit, form: Mapping[str, str]) -> Any:
    body: dict[str, Any] = {"source": form.get("source", "").strip()}
    if ref := form.get("ref", "").strip():
        body["ref"] = ref
    if kind := form.get("type", ""):
        body["type"] = kind
    return await visit.ask("POST", "/api/v1/plans", body=body)


async def _create(visit: Visit, form: Mapping[str, str]) -> web.StreamResponse:
    limits = read(Limits, form, "limits.")
    body = {
        "name": form.get("name", "").strip(),
        "source": form.get("source", "").strip(),
        "ref": form.get("ref", "").strip() or None,
        "type": form.get("type", "") or "auto",
        "environment": read_lines(form.get("environment", "")),
        "settings": {"limits": limits} if limits else {},
    }
    made = await visit.ask("POST", "/api/v1/services", body=body)
    service = await load_service(visit.caller, made.id, Role.MEMBER)
    path = "/api/v1/services/{service}/deployments"
    deployment = await visit.ask("POST", path, service=service, body={})
    if form.get("github"):
        # What cannot be had now is made on the page of the webhook.
        await visit.ask_if_there("POST", "/api/v1/services/{service}/github", service=service)
    if hostname := form.get("hostname", "").strip():
        path, wanted = "/api/v1/services/{service}/domains", {"hostname": hostname}
        try:
            added = await visit.ask("POST", path, service=service, body=wanted)
        except REFUSALS as error:
            # The service is there and on its way: only the hostname is to be tried again.
            refusal = replace(visit.refusal(error), status=200)
            path = f"/services/{service.name}/domains"
            raise show_once(visit, path, refusal=asdict(refusal), typed=wanted) from None
        if added.state == "pending":
            raise redirect(f"/services/{service.name}/domains", "domain-added")
    raise redirect(f"/deployments/{deployment.id}")


async def _lead_back(
    visit: Visit, step: str, form: dict[str, str], refusal: Refusal
) -> web.Response:
    """Show the step at which something is wrong, with all that was typed."""
    is_of_source = any(field in _OF_SOURCE for field in refusal.fields)
    step = "details" if step == "create" and not is_of_source else "source"
    fields = {_input_of(field): text for field, text in refusal.fields.items()}
    refusal = Refusal(refusal.message, refusal.hint, refusal.status, fields)
    return await _step(visit, step, form, refusal=refusal)


async def _step(
    visit: Visit,
    step: str,
    form: dict[str, str],
    *,
    plan: Any = None,
    refusal: Refusal | None = None,
) -> web.Response:
    if step == "details" and "name" not in form:
        form["name"] = _suggested(form.get("source", ""))
    limits = [
        Field(**{**_values(one), "value": form.get(one.name, one.value)})
        for one in fields_of(Limits, Limits().model_dump(), "limits.")
    ]
    return visit.show(
        f"new_{step}.html",
        nav=NAV,
        status=refusal.status if refusal else 200,
        refusal=refusal,
        errors=refusal.fields if refusal else {},
        typed=form,
        carried={n: v for n, v in form.items() if n not in ("step", "csrf_token")},
        steps=_STEPS,
        step=step,
        types=types_of(visit.platform),
        plan=plan,
        limits=limits,
        domain=visit.platform.domain,
        picker=visit.has("GET", "/api/v1/github/repositories"),
    )


def _values(field: Field) -> dict[str, Any]:
    return {name: getattr(field, name) for name in Field.__dataclass_fields__}


def _input_of(field: str) -> str:
    """Return the input that a field of the API comes from."""
    if field.startswith("environment"):
        return "environment"
    return field.removeprefix("settings.")


def _suggested(source: str) -> str:
    """Return a name made of the end of an address."""
    if source.startswith("upload:"):
        return ""
    last = source.rstrip("/").removesuffix(".git").rpartition("/")[2].rpartition(":")[2]
    return _SLUG.sub("-", last.lower()).strip("-0123456789")[:63]
