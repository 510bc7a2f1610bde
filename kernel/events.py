"""The journal of what happened, and its delivery to listeners."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from dataclasses import dataclass
from functools import partial
from typing import Any

from .contracts.pipeline import Event
from .errors import HelvetiaError
from .models import Event as EventRow
from .providers import Providers, plugin_call

_LISTENER_SECONDS = 5.0
_log = logging.getLogger(__name__)


@dataclass(slots=True, kw_only=True)
class Origin:
    """The request that entries are made for: what they say of it.

    Attributes:
        actor: says who asks, as soon as it is known.
        recorded: how many entries there are of it.
    """

    address: str = ""
    request_id: str = ""
    actor: Callable[[], str] = str
    recorded: int = 0


ORIGIN: ContextVar[Origin] = ContextVar("helvetia.origin")
"""Set around each request, so that nobody hands addresses through."""


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
        actor: the user's id, or the part of the platform that acted; else whoever asks.
        team_id: whose team it concerns.
        service_id: the service it concerns.
        deployment_id: the deployment it concerns.
        data: details; never a secret.
    """
    origin = ORIGIN.get(Origin())
    ids = {"team_id": team_id, "service_id": service_id, "deployment_id": deployment_id}
    await EventRow.create(**entry(kind, origin, actor=actor, data=data, **ids))


def entry(kind: str, origin: Origin, *, actor: str = "", **more: Any) -> dict[str, Any]:
    """Make the row of an entry, for whoever inserts several at once; see `record`."""
    origin.recorded += 1
    request = {"address": origin.address, "request_id": origin.request_id}
    return {"kind": kind, "actor": actor or origin.actor(), **request, **more}


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
            actor=row.actor,
            data=row.data,
        )
        await EventRow.filter(id=row.id).update(delivered=True)
        tellings = [(name, partial(one.on_event, event)) for name, one in providers.listeners]
        await asyncio.gather(*(_tell(name, "on_event", telling) for name, telling in tellings))
    return len(rows)


async def tidy(providers: Providers) -> None:
    """Have the listeners do what is due by the clock."""
    await asyncio.gather(*(_tell(name, "tidy", one.tidy) for name, one in providers.listeners))


async def _tell(plugin: str, what: str, telling: Callable[[], Awaitable[None]]) -> None:
    try:
        async with plugin_call(plugin, what, _LISTENER_SECONDS):
            await telling()
    except HelvetiaError as error:
        _log.warning("%s", error)
