"""Named duties that one process at a time has, by a lease in the database."""

from __future__ import annotations

import math
import time
from datetime import timedelta
from typing import Any

from tortoise.exceptions import IntegrityError
from tortoise.expressions import Q

from .models import Lease, utcnow

_CLOCK_SECONDS = 60.0
_JUMP_SECONDS = 1.0


class _Clock:
    """Notices that the clock of this machine was set."""

    def __init__(self) -> None:
        self._ahead = self._offset()
        self._jumped_at = -math.inf

    def has_jumped(self, seconds: float) -> bool:
        """Tell whether it was set less than so many seconds ago."""
        ahead = self._offset()
        if abs(ahead - self._ahead) > _JUMP_SECONDS:
            self._jumped_at = time.monotonic()
        self._ahead = ahead
        return time.monotonic() - self._jumped_at < seconds

    @staticmethod
    def _offset() -> float:
        return utcnow().timestamp() - time.monotonic()


_clock = _Clock()


def lapsed(column: str, seconds: float) -> Q:
    """Match leases whose owner was silent for too long.

    One that ends in the far future is of a time when the clock was wrong: whoever is alive
    renews it by the present clock. After a jump of the clock they get the time to do so.

    Args:
        column: when the lease ends.
        seconds: how long such leases last.
    """
    if _clock.has_jumped(seconds):
        nobody: dict[str, Any] = {f"{column}__isnull": True}
        return Q(**nobody)
    now = utcnow()
    far = now + timedelta(seconds=_CLOCK_SECONDS + 2 * seconds)
    matches: list[dict[str, Any]] = [{f"{column}__lt": now}, {f"{column}__gt": far}]
    return Q(*(Q(**match) for match in matches), join_type=Q.OR)


async def has_duty(name: str, *, owner: str, seconds: float) -> bool:
    """Take or keep a duty; False if another process has it."""
    until = utcnow() + timedelta(seconds=seconds)
    if await Lease.filter(Q(owner=owner) | lapsed("until", seconds), id=name).update(
        owner=owner, until=until
    ):
        return True
    if await Lease.filter(id=name).exists():
        return False
    try:
        await Lease.create(id=name, owner=owner, until=until)
    except IntegrityError:
        return False
    return True


async def lay_down(name: str, *, owner: str) -> None:
    """Give a duty back."""
    await Lease.filter(id=name, owner=owner).delete()
