"""Credentials go with their services."""

from __future__ import annotations

from helvetia import Event, EventListener

from .models import Credentials


class Forgetting(EventListener):
    """Removes the credentials of a service that was deleted."""

    name = "git"

    async def on_event(self, event: Event) -> None:
        """Look whether a service is gone."""
        if event.kind == "service.deleted" and event.service_id:
            await Credentials.filter(service_id=event.service_id).delete()
