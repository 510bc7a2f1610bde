"""A Helvetia router: to be written. Its suite says what is missing, promise by promise."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from helvetia import ActivationFailed, Check, Kernel, Route, Router, hookimpl

helvetia_api = 1


class ExampleRouter(Router):
    """Leads hostnames to instances on `kernel.edge`."""

    name = "example"

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel

    async def check(self) -> Check:
        """Say whether it is usable here; until it is, the suite skips what needs it."""
        return Check(ok=False, reason="the router example is not written yet")

    async def activate(self, route: Route) -> None:
        """Switch; return when the proxy itself shows the route as the one in force."""
        raise ActivationFailed("the router example cannot switch yet")

    async def retire(self, service_id: str, generation: int) -> None:
        """Take the route away, confirmed."""

    async def routes(self) -> Sequence[Route]:
        """Return the routes that are in force, read back from the proxy."""
        return []

    def url(self, hostname: str) -> str:
        """Return the address a person types."""
        port = self._kernel.edge[1]
        return f"http://{hostname}" if port == 80 else f"http://{hostname}:{port}"


@hookimpl
def helvetia_routers(kernel: Kernel) -> Iterable[Router]:
    """Offer the router `example`."""
    yield ExampleRouter(kernel)
