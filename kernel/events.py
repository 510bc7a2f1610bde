"""The journal of what happened, and its delivery to listeners."""

from __future__ import annotations

import asyncio
import logging

from .contracts.pipeline import Event, EventListener
from .errors import HelvetiaError
from .models import Event as EventRow
from .providers import Providers, plugin_call

_LISTENER_SECONDS = 5.0
_log = logging.getLogger(__name__)


async def record(
    kind: str,
    *,
    actor: str = "",
    team_id: str | None = None,
    service_id: str | None = None,
    deployment_id: str | None = None,
    **data: str,
) -> None:
    """Write an entry into the journal, in the caller's transaction if there is one.

    Args:
        kind: what happened, as `deployment.live`.
        actor: the user's id, or the part of the platform that acted.
        team_id: whose team it concerns.
        service_id: the service it concerns.
        deployment_id: the deployment it concerns.
        data: details; never a secret.
    """
    await EventRow.create(
        kind=kind,
        actor=actor,
        team_id=team_id,
        service_id=service_id,
        deployment_id=deployment_id,
        data=data,
    )


async def deliver(providers: Providers) -> int:
    """Tell the listeners of entries they have not heard; return how many there were.

    A listener that fails or is slow is passed over: an entry is told once.
    """
    rows = await EventRow.filter(delivered=False).order_by("created_at", "id").limit(100)
    for row in rows:
        event = Event(
            kind=row.kind,
            time=row.created_at,
            service_id=row.service_id,
            deployment_id=row.deployment_id,
            data=row.data,
        )
        await EventRow.filter(id=row.id).update(delivered=True)
        await asyncio.gather(*(_tell(plugin, one, event) for plugin, one in providers.listeners))
    return len(rows)


async def _tell(plugin: str, listener: EventListener, event: Event) -> None:
    try:
        async with plugin_call(plugin, "on_event", _LISTENER_SECONDS):
            await listener.on_event(event)
    except HelvetiaError as error:
        _log.warning("%s", error)
