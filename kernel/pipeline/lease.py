"""One master at a time for each service: a lease with a fencing token, in the database."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from tortoise.expressions import F, Q
from tortoise.queryset import QuerySet
from tortoise.transactions import in_transaction

from helvetia.kernel.duties import lapsed
from helvetia.kernel.models import Service, utcnow

_log = logging.getLogger(__name__)
_kept: set[tuple[str, str]] = set()


class LeaseLost(Exception):
    """Another worker is the service's master now; nothing more may be written."""


@dataclass(frozen=True, slots=True)
class ServiceLease:
    """The right to change one service.

    Attributes:
        fence: grows with each lease of the service; every write checks it.
    """

    service_id: str
    owner: str
    fence: int
    seconds: float

    @classmethod
    async def acquire(cls, service_id: str, *, owner: str, seconds: float) -> ServiceLease | None:
        """Become the master, unless somebody else is. May be called in a transaction."""
        if (owner, service_id) in _kept:
            # A task of this very process holds it, whatever the clock says.
            return None
        until = utcnow() + timedelta(seconds=seconds)
        won = await Service.filter(is_free(seconds), id=service_id).update(
            lease_owner=owner, lease_until=until, fence=F("fence") + 1
        )
        if not won:
            return None
        service = await Service.get(id=service_id)
        if service.lease_owner != owner:
            return None
        return cls(service_id, owner, service.fence, seconds)

    async def renew(self) -> bool:
        """Prolong the lease; False if it is lost."""
        until = utcnow() + timedelta(seconds=self.seconds)
        return bool(await self._mine().update(lease_until=until))

    async def confirm(self) -> None:
        """Make sure to be the master before something is done that no transaction guards.

        Raises:
            LeaseLost: somebody else is.
        """
        if not await self.renew():
            raise LeaseLost(self.service_id)

    async def release(self) -> None:
        """Give the lease back."""
        await self._mine().update(lease_owner=None, lease_until=None)

    @asynccontextmanager
    async def kept(self) -> AsyncIterator[None]:
        """Renew the lease while the block runs, and give it back afterwards.

        Raises:
            LeaseLost: somebody else became the master; the block was cancelled because of it.
        """
        holder = asyncio.current_task()
        assert holder is not None
        lost = False

        async def keep() -> None:
            nonlocal lost
            while not lost:
                await asyncio.sleep(self.seconds / 3)
                try:
                    lost = not await self.renew()
                except Exception:
                    # Nobody can take it over either while the database is away.
                    _log.exception("lease of service %s", self.service_id)
            holder.cancel()

        keeping = asyncio.create_task(keep())
        _kept.add((self.owner, self.service_id))
        try:
            try:
                yield
            finally:
                _kept.discard((self.owner, self.service_id))
                keeping.cancel()
                await self.release()
        except asyncio.CancelledError:
            if lost and not holder.uncancel():
                raise LeaseLost(self.service_id) from None
            raise

    @asynccontextmanager
    async def fenced(self) -> AsyncIterator[None]:
        """Open a transaction that only the master can commit.

        Raises:
            LeaseLost: somebody else is the master now.
        """
        async with in_transaction():
            # An update, not a select: it locks the row on PostgreSQL too.
            if not await self._mine().update(lease_owner=self.owner):
                raise LeaseLost(self.service_id)
            yield

    def _mine(self) -> QuerySet[Service]:
        return Service.filter(id=self.service_id, fence=self.fence, lease_owner=self.owner)


def is_free(seconds: float, *, service: str = "") -> Q:
    """Match services without a master: there is none, or it was silent for too long.

    Args:
        seconds: how long leases last here.
        service: how the query gets to the service, as `service__`.
    """
    nobody: dict[str, Any] = {f"{service}lease_owner": None}
    return Q(**nobody) | lapsed(f"{service}lease_until", seconds)


async def release_dead(prefix: str) -> int:
    """Give back the leases of owners known to be dead, by the beginning of their names."""
    return await Service.filter(lease_owner__startswith=prefix).update(
        lease_owner=None, lease_until=None
    )
