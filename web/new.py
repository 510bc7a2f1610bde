"""A new service in three steps: where it comes from, how it would be built, what it gets.

Nothing is made before the last one. What was typed goes along in the forms.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

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


async def begin(visit: Visit) -> web.Response:
    """Ask where the service comes from."""
    return await _step(visit, "source", dict(visit.request.query))


async def go_on(visit: Visit) -> web.StreamResponse:
    """Take a step, or lead back to the one that was refused."""
    form = dict(await visit.form())
    step = form.get("step", "")
    try:
        if step == "create":
            return await _create(visit, form)
        if step == "details":
            return await _step(visit, "details", form)
        if step == "plan":
            return await _step(visit, "plan", form, plan=await _plan(visit, form))
    except REFUSALS as error:
        return await _lead_back(visit, form, visit.refusal(error))
    return await _step(visit, "source", form)


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


async def _lead_back(visit: Visit, form: dict[str, str], refusal: Refusal) -> web.Response:
    """Show the step at which something is wrong, with all that was typed."""
    is_of_source = any(field in _OF_SOURCE for field in refusal.fields)
    step = "details" if form["step"] == "create" and not is_of_source else "source"
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
