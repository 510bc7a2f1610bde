"""Pages and buttons of deployments."""

from __future__ import annotations

from aiohttp import web

from helvetia import HelvetiaError
from helvetia.kernel.http.access import load_deployment
from helvetia.kernel.models import Deployment, Role
from helvetia.plugins.api import schemas
from helvetia.plugins.api.resources import deployments, logs

from .filters import seconds
from .services import LOG_LINES, current_deployment
from .visit import Visit


async def show(visit: Visit) -> web.Response:
    """Show a deployment with its stages and its log."""
    row = await load_deployment(visit.caller, visit.part("deployment"), Role.VIEWER)
    return await _show(visit, row)


async def cancel(visit: Visit) -> web.StreamResponse:
    """Call a deployment off."""
    row = await load_deployment(visit.caller, visit.part("deployment"), Role.MEMBER)
    try:
        _ = await deployments.cancel(visit.call, row)
    except HelvetiaError as error:
        return await _show(visit, row, error)
    raise web.HTTPSeeOther(f"/deployments/{row.id}")


async def _show(visit: Visit, row: Deployment, error: HelvetiaError | None = None) -> web.Response:
    shown = await deployments.show(visit.call, row)
    lines = await logs.of_deployment(visit.call, row, logs.LogQuery(tail=LOG_LINES))
    return visit.show(
        "deployment.html",
        nav="services",
        status=error.status if error else 200,
        live=error is None and not lines.ended,
        problem=error.message if error else "",
        may_change=visit.caller.may(Role.MEMBER, row.service.team_id),
        deployment=shown,
        current=await current_deployment(row.service),
        receipt=_receipt(shown.receipt),
        records=lines.records,
        skipped=lines.records[0].seq - 1 if lines.records else 0,
        ended=lines.ended,
    )


def _receipt(receipt: schemas.Receipt) -> list[tuple[str, str, str]]:
    """Return what the rollover measured: name, value and tone of each."""
    times = (
        ("Healthy after", receipt.probe_seconds),
        ("Switched in", receipt.activation_seconds),
        ("Drained in", receipt.drain_seconds),
    )
    lines = [(name, seconds(value), "") for name, value in times if value is not None]
    if receipt.requests is not None:
        lines.append(("Requests meanwhile", f"{receipt.requests:,}".replace(",", "\u202f"), ""))
    if receipt.failed is not None:
        lines.append(("Failed", str(receipt.failed), "bad" if receipt.failed else "good"))
    return lines
