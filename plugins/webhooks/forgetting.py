"""Hooks go with their services."""

from __future__ import annotations

from helvetia import Event, EventListener
from helvetia.kernel.models import Delivery

from .inbox import REFUSED, SOURCE
from .models import Webhook


class Forgetting(EventListener):
    """Removes the hook and the deliveries of a service that was deleted."""

    name = "webhooks"

    async def on_event(self, event: Event) -> None:
        """Look whether a service is gone."""
        if event.kind == "service.deleted" and event.service_id:
            await Webhook.filter(service_id=event.service_id).delete()
            sources = [f"{kind}:{event.service_id}" for kind in (SOURCE, REFUSED)]
            await Delivery.filter(source__in=sources).delete()
