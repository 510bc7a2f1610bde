"""Brokers carry hints between the processes of an installation; the truth is in the database."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING

from .base import Provider

if TYPE_CHECKING:
    from taskiq import AsyncBroker


class Broker(Provider):
    """Rings at workers, so that they need not wait until they look for work again.

    Required: `queue`, `tell`, `hear`. The most preferred broker is used; with none, or while it
    is away, workers find everything by looking into the database, only later. So a broker may
    lose, repeat and reorder what it carries. It keeps trying to reach its server, calmly and
    for ever, and says in the log, once each, when the server goes and when it is back.

    `check` and `tell` need no `setup`: a control plane without workers has none.
    """

    @property
    @abstractmethod
    def queue(self) -> AsyncBroker:
        """The Taskiq broker, always the same one, that hands each message to one listener.

        Its `startup` waits for nothing. `kick` raises if the server is away; the kernel ignores
        that and cancels it after two seconds. `listen` never ends and never raises.
        """

    @abstractmethod
    async def tell(self, news: str) -> None:
        """Tell something to all who hear now, this process too. Raises as `kick` does."""

    @abstractmethod
    def hear(self) -> AsyncGenerator[str, None]:
        """Yield what anybody tells, until it is closed; never ends and never raises by itself."""
