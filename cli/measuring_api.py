"""What the REST API tells of measurements, as typed methods."""

from __future__ import annotations

from helvetia.plugins.metrics import shapes

from .api import Api, parse, service_path


class MeasuringApi(Api):
    """What a control plane can be asked for about measurements."""

    async def sparklines(self) -> list[shapes.Sparkline]:
        """Return the last hour of all services."""
        return await self._all("/metrics", shapes.Sparkline)

    async def metrics(self, name: str, range: str) -> shapes.ServiceMetrics:
        """Return what was measured of a service."""
        path = f"{service_path(name)}/metrics"
        answer = await self.client.request("GET", path, query={"range": range})
        return parse(shapes.ServiceMetrics, answer)

    async def deploy_times(self, name: str, *, limit: int) -> list[shapes.DeployTime]:
        """Return how long deployments took."""
        path = f"{service_path(name)}/metrics/deployments"
        return await self._all(path, shapes.DeployTime, limit=limit)
