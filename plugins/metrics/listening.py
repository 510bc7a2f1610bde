"""What the journal tells: a process that works is there, and a service is gone."""

from __future__ import annotations

from tortoise.expressions import Subquery

from helvetia import Event, EventListener
from helvetia.kernel.models import Service
from helvetia.kernel.platform import Platform

from .models import Chunk, Watch
from .sampling import Sampler
from .settings import MetricsSettings


class Measuring(EventListener):
    """Keeps the sampler going where events are told, which is where work is done."""

    name = "metrics"

    def __init__(self, platform: Platform) -> None:
        self._sampler = Sampler(platform, platform.section(MetricsSettings).seconds)

    async def on_event(self, event: Event) -> None:
        """Begin with the first event, and forget a service that is gone."""
        self._sampler.wake()
        if event.kind == "service.deleted" and event.service_id:
            await Chunk.filter(service_id=event.service_id).delete()
            await Watch.filter(id=event.service_id).delete()

    async def tidy(self) -> None:
        """Go on, and forget what was written of a service after it was gone."""
        self._sampler.wake()
        known = Subquery(Service.all().values("id"))
        await Chunk.exclude(service_id__in=known).delete()
