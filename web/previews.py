"""Previews of pull requests: which there are, and who gets them."""

from __future__ import annotations

from collections.abc import Mapping

from aiohttp import web

from helvetia.kernel.models import Role, Service

from .acts import Question, question
from .said import redirect
from .service_page import frame, load
from .visit import REFUSALS, Refusal, Visit

_PREVIEWS = "/api/v1/services/{service}/previews"
_POLICY = f"{_PREVIEWS}/policy"


async def index(visit: Visit) -> web.Response:
    """Show the previews of a service."""
    return await _index(visit, await load(visit))


async def set_policy(visit: Visit) -> web.StreamResponse:
    """Say which pull requests get previews."""
    service = await load(visit, Role.ADMIN)
    form = await visit.form()
    try:
        names = ("forks", "limit", "hours")
        body = {name: form[name].strip() for name in names if form.get(name, "").strip()}
        await visit.ask("POST", _POLICY, service=service, body=body)
    except REFUSALS as error:
        return await _index(visit, service, visit.refusal(error), form)
    raise redirect(f"/services/{service.name}/previews", "previews")


async def ask_off(visit: Visit) -> web.Response:
    """Ask whether to have no previews any more."""
    service = await load(visit, Role.ADMIN)
    path = f"/services/{service.name}/previews"
    lines = ("All previews there are of it are removed, and no pull request gets one any more.",)
    asked = Question(title=f"Switch the previews of {service.name} off?", lines=lines,
                     label="Switch them off", action=f"{path}/off", back=path)  # fmt: skip
    return question(visit, asked)


async def switch_off(visit: Visit) -> web.StreamResponse:
    """Have no previews any more."""
    service = await load(visit, Role.ADMIN)
    await visit.ask("DELETE", _POLICY, service=service)
    raise redirect(f"/services/{service.name}/previews", "previews-off")


async def ask_remove(visit: Visit) -> web.Response:
    """Ask whether to remove a preview."""
    service, number = await load(visit, Role.MEMBER), visit.part("number")
    path = f"/services/{service.name}/previews"
    lines = (
        "Its address leads nowhere any more. The next push to the pull request makes it anew.",
    )
    asked = Question(title=f"Remove the preview of #{number}?", lines=lines, label="Remove it",
                     action=f"{path}/{number}/remove", back=path)  # fmt: skip
    return question(visit, asked)


async def remove(visit: Visit) -> web.StreamResponse:
    """Remove a preview."""
    service = await load(visit, Role.MEMBER)
    path, number = f"{_PREVIEWS}/{{number}}", visit.part("number")
    await visit.ask("DELETE", path, service=service, number=number)
    raise redirect(f"/services/{service.name}/previews", "preview-removed")


async def _index(
    visit: Visit,
    service: Service,
    refusal: Refusal | None = None,
    typed: Mapping[str, str] | None = None,
) -> web.Response:
    query = {"limit": 50, "cursor": visit.request.query.get("cursor")}
    found = await visit.ask("GET", _PREVIEWS, service=service, query=query)
    policy = await visit.ask("GET", _POLICY, service=service)
    return await frame(
        visit, service, "service_previews.html", "previews",
        refusal=refusal, previews=found.items, next=found.next, policy=policy,
        typed=typed or {},
    )  # fmt: skip
