"""Routers lead hostnames to instances."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

from .base import Provider


@dataclass(frozen=True, slots=True, kw_only=True)
class Backend:
    """An address that takes HTTP."""

    host: str
    port: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """Hostnames that lead to the instances of one release.

    Attributes:
        hostnames: validated DNS names in ASCII form, no wildcards, no ports.
        generation: grows with every switch of the service. A router refuses a generation
            lower than the one it has, so that a worker that lost its lease cannot switch back.
    """

    service_id: str
    release_id: str
    hostnames: tuple[str, ...]
    backends: tuple[Backend, ...]
    generation: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """Requests a release has answered through the router since it was first routed, and how
    many of them ended in a gateway error (502, 503, 504).
    """

    requests: int
    failed: int


class Router(Provider):
    """Leads traffic.

    Required: `activate`, `retire`, `routes`, `url`. Optional: `traffic`.
    """

    @abstractmethod
    async def activate(self, route: Route) -> None:
        """Switch the service's hostnames to the route, atomically.

        Returns only when the proxy itself shows the new route as the one in force.

        Raises:
            ActivationFailed: the proxy refused or did not confirm; the former route is in force.
        """

    @abstractmethod
    async def retire(self, service_id: str) -> None:
        """Take the service's route away, confirmed. Quiet if there is none."""

    @abstractmethod
    async def routes(self) -> Sequence[Route]:
        """Return the routes of this installation that are in force."""

    @abstractmethod
    def url(self, hostname: str) -> str:
        """Return the address a person types to reach a hostname."""

    async def traffic(self, service_id: str, release_id: str) -> Traffic | None:
        """Return the release's counters; None if the router cannot count."""
        return None
