"""Keep the journal within its bounds."""

from __future__ import annotations

import math
import time
from datetime import timedelta

from helvetia import Event, EventListener, Kernel
from helvetia.kernel.models import Event as EventRow
from helvetia.kernel.models import utcnow

from .settings import AuditSettings

PAUSE_SECONDS = 3600.0


class Forgetting(EventListener):
    """Deletes the oldest entries, at most once an hour: it grows by entries alone."""

    name = "audit"

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel
        self._looked_at = -math.inf

    async def on_event(self, event: Event) -> None:
        """Look whether there is something to forget."""
        if time.monotonic() - self._looked_at < PAUSE_SECONDS:
            return
        self._looked_at = time.monotonic()
        await forget(self._kernel.section(AuditSettings))


async def forget(settings: AuditSettings) -> None:
    """Delete what is older than it is kept, and what is too many."""
    told = EventRow.filter(delivered=True)
    await told.filter(created_at__lt=utcnow() - timedelta(days=settings.keep_days)).delete()
    newest_of_the_rest = (
        await EventRow.all().order_by("-created_at").offset(settings.keep_entries).first()
    )
    if newest_of_the_rest is not None:
        await told.filter(created_at__lte=newest_of_the_rest.created_at).delete()
