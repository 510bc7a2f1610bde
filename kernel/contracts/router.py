"""Routers lead hostnames to instances."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from .base import Provider
from .health import HealthCheck
from .runtime import InstanceSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class Backend:
    """An address that takes HTTP."""

    host: str
    port: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """Hostnames that lead to the instances of one release.

    Attributes:
        hostnames: validated DNS names in ASCII form, no ports. `*.` before one stands for one
            label, but whoever has such a name itself comes first; refused by a router without
            the capability `wildcards`.
        generation: grows with every change of the service's route. A router refuses a generation
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Meter:
    """Answers of a release.

    Attributes:
        statuses: how many there were of each class, 2 to 5.
        seconds: how many took at most so long; the last bound is infinite.
    """

    statuses: Mapping[int, int]
    seconds: Mapping[float, int]


class Router(Provider):
    """Leads traffic.

    Required: `activate`, `retire`, `routes`, `url`. Optional: `labels`, `traffic`, `meters`, and
    the capability `wildcards`.
    """

    @abstractmethod
    async def activate(self, route: Route) -> None:
        """Switch the service's hostnames to the route, atomically.

        Returns only when the proxy itself shows the new route as the one in force.

        Raises:
            ActivationFailed: the proxy refused or did not confirm, or a change of a higher
                generation came before; the former route is in force.
        """

    @abstractmethod
    async def retire(self, service_id: str, generation: int) -> None:
        """Take the service's route away, confirmed. Quiet if there is none.

        The generation is kept for an hour at least: no route of a lower one comes back.

        Raises:
            ActivationFailed: the proxy did not confirm, or a route of a higher generation is in
                force.
        """

    @abstractmethod
    async def routes(self) -> Sequence[Route]:
        """Return the routes of this installation that are in force."""

    @abstractmethod
    def url(self, hostname: str) -> str:
        """Return the address a person types to reach a hostname."""

    def labels(self, spec: InstanceSpec, health: HealthCheck) -> Mapping[str, str]:
        """Return labels by which the proxy finds the instance, and checks it as `health` says.

        Pure. A runtime that keeps labels where proxies look puts the port of the instance in the
        place of `{port}`. Being found must lead no traffic to it; `activate` does.
        """
        return {}

    async def traffic(self, service_id: str, release_id: str) -> Traffic | None:
        """Return the release's counters; None if the router cannot count."""
        return None

    async def meters(self) -> Mapping[tuple[str, str], Meter]:
        """Return the counters of all services by service and release; they may begin again."""
        return {}
