"""Pages and buttons of deployments."""

from __future__ import annotations

import re
from dataclasses import dataclass

from aiohttp import web

from helvetia.kernel.http.access import load_deployment
from helvetia.kernel.models import Deployment, Role, User
from helvetia.plugins.api import schemas

from .acts import Question, question
from .filters import count, seconds
from .logs import shown_log
from .said import redirect
from .service_page import BUSY, NAV, current_deployment
from .visit import REFUSALS, Refusal, Visit

_PATH = "/api/v1/deployments/{deployment}"
_SHA = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Receipt:
    """What the rollover measured, in words."""

    sentence: str
    is_good: bool
    times: list[tuple[str, str]]


async def show(visit: Visit) -> web.Response:
    """Show a deployment with its stages and its log."""
    return await _show(visit, await _load(visit, Role.VIEWER))


async def ask_cancel(visit: Visit) -> web.Response:
    """Ask whether to call a deployment off."""
    return question(visit, _cancelling(await _load(visit, Role.MEMBER)))


async def cancel(visit: Visit) -> web.StreamResponse:
    """Call a deployment off."""
    row = await _load(visit, Role.MEMBER)
    try:
        await visit.ask("POST", f"{_PATH}/cancel", deployment=row)
    except REFUSALS as error:
        return await _show(visit, row, visit.refusal(error))
    raise redirect(f"/deployments/{row.id}")


async def _load(visit: Visit, needed: Role) -> Deployment:
    return await load_deployment(visit.caller, visit.part("deployment"), needed)


async def _show(visit: Visit, row: Deployment, refusal: Refusal | None = None) -> web.Response:
    shown = await visit.ask("GET", _PATH, deployment=row)
    log = await shown_log(visit, f"{_PATH}/logs", deployment=row)
    maker = await User.get_or_none(id=row.created_by).only("id", "name") if row.created_by else None
    is_open = shown.status in ("QUEUED", "RUNNING")
    return visit.show(
        "deployment.html",
        nav=NAV,
        status=refusal.status if refusal else 200,
        live=BUSY if refusal is None and not log.ended else 0,
        refusal=refusal,
        may_change=visit.caller.may(Role.MEMBER, row.service.team_id),
        deployment=shown,
        is_open=is_open,
        is_called_off=row.cancel_requested and is_open,
        current=await current_deployment(row.service),
        receipt=_receipt(shown.receipt),
        maker=maker.name if maker else "",
        again=_again(row),
        log=log,
    )


def _again(row: Deployment) -> dict[str, str]:
    """Return what deploys the very same once more."""
    fields = {"source": row.source_url} if row.source_url != row.service.source_url else {}
    is_commit = _SHA.fullmatch(row.sha) and not row.source_url.startswith("upload:")
    return {**fields, **({"ref": row.sha} if is_commit else {})}


def _receipt(receipt: schemas.Receipt) -> Receipt | None:
    times = (
        ("Healthy after", receipt.probe_seconds),
        ("Switched in", receipt.activation_seconds),
        ("Drained in", receipt.drain_seconds),
    )
    told = [(name, seconds(value)) for name, value in times if value is not None]
    if receipt.requests is None and not told:
        return None
    if receipt.requests is None:
        return Receipt("The switch is confirmed. This router counts no requests.", True, told)
    failed = receipt.failed or 0
    requests = "request" if receipt.requests == 1 else "requests"
    sentence = f"{count(receipt.requests)} {requests} during the switch, {count(failed)} failed"
    return Receipt(sentence, not failed, told)


def _cancelling(row: Deployment) -> Question:
    path = f"/deployments/{row.id}"
    lines = (
        "It ends within seconds: its build is killed, and what it has started is removed.",
        "What is live now stays live.",
    )
    return Question(title=f"Cancel deployment #{row.number} of {row.service.name}?", lines=lines,
                    label="Cancel it", action=f"{path}/cancel", back=path)  # fmt: skip
