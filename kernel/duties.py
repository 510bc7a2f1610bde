"""Named duties that one process at a time has, by a lease in the database."""

from __future__ import annotations

from datetime import timedelta

from tortoise.exceptions import IntegrityError
from tortoise.expressions import Q

from .models import Lease, utcnow


async def has_duty(name: str, *, owner: str, seconds: float) -> bool:
    """Take or keep a duty; False if another process has it."""
    now = utcnow()
    until = now + timedelta(seconds=seconds)
    if await Lease.filter(Q(owner=owner) | Q(until__lt=now), id=name).update(
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
