"""Named duties that one process at a time has, by a lease in the database."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from tortoise.exceptions import IntegrityError
from tortoise.expressions import Q

from .models import Lease, utcnow

_CLOCK_SECONDS = 60.0


def lapsed(column: str, seconds: float) -> Q:
    """Match leases whose owner was silent for too long.

    One that ends in the far future is of a time when the clock was wrong: whoever is alive
    renews it by the present clock.

    Args:
        column: when the lease ends.
        seconds: how long such leases last.
    """
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
