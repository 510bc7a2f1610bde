"""What a private repository is read with: given and removed here, never shown again."""

from __future__ import annotations

from collections.abc import Mapping

from aiohttp import web

from helvetia.kernel.models import Role, Service

from .acts import Question, confirmed, question
from .said import redirect
from .service_page import frame, load
from .visit import REFUSALS, Refusal, Visit

PATH = "/api/v1/services/{service}/credentials"
"""The endpoint, without which there is no such page."""

_SECRETS = ("password", "private_key")


async def show(visit: Visit) -> web.Response:
    """Show what there is, and the form for others."""
    return await _show(visit, await load(visit))


async def give(visit: Visit) -> web.StreamResponse:
    """Have the repository read with a password or a key; without either, a key is made."""
    service = await load(visit, Role.ADMIN)
    form = await visit.form()
    body = {"username": form.get("username", "").strip()}
    body |= {name: form[name].strip() for name in _SECRETS if form.get(name, "").strip()}
    if "private_key" in body:
        # Keys end with a line of their own, which browsers and the line above cut off.
        body["private_key"] = body["private_key"].replace("\r\n", "\n") + "\n"
    try:
        await visit.ask("POST", PATH, service=service, body=body)
    except REFUSALS as error:
        return await _show(visit, service, visit.refusal(error), form)
    raise redirect(f"/services/{service.name}/credentials", "credentials")


async def ask_remove(visit: Visit) -> web.Response:
    """Ask whether to forget them."""
    return question(visit, _removing(await load(visit, Role.ADMIN)))


async def remove(visit: Visit) -> web.StreamResponse:
    """Forget them."""
    service = await load(visit, Role.ADMIN)
    return await confirmed(
        visit, _removing(service), lambda: visit.ask("DELETE", PATH, service=service),
        to=f"/services/{service.name}/credentials", said="credentials-removed",
    )  # fmt: skip


async def _show(
    visit: Visit,
    service: Service,
    refusal: Refusal | None = None,
    typed: Mapping[str, str] | None = None,
) -> web.Response:
    source = service.source_url
    return await frame(
        visit, service, "service_credentials.html", "settings",
        refusal=refusal, is_live=False, typed=typed or {},
        credentials=await visit.ask_if_there("GET", PATH, service=service),
        # Told apart as the source does: everything but https is asked over ssh.
        is_web=source.lower().startswith(("https://", "http://")),
    )  # fmt: skip


def _removing(service: Service) -> Question:
    path = f"/services/{service.name}/credentials"
    lines = (
        "The repository is read without them from the next deployment on.",
        "What runs goes on. A deploy key stays with the Git host until it is removed there.",
    )
    return Question(title=f"Forget the credentials of {service.name}?", lines=lines,
                    label="Forget them", action=f"{path}/remove", back=path)  # fmt: skip
