"""What the platform counts."""

from __future__ import annotations

from aiohttp import web

from helvetia.kernel.http.access import Policy
from helvetia.kernel.http.context import Call
from helvetia.kernel.http.routing import Resource
from helvetia.plugins.api.metrics import CONTENT_TYPE, Metrics


def make_resource() -> Resource:
    """Return the resource with counters of its own, one for each control plane."""
    counters = Metrics()
    resource = Resource("monitoring", observer=counters.count_request)

    @resource.get(
        "/metrics",
        policy=Policy.SIGNED_IN,
        summary="Show counters for Prometheus",
        media="text/plain",
    )
    async def metrics(call: Call) -> web.Response:
        """Show counters in the text format of Prometheus."""
        body = await counters.render(call.platform)
        return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE})

    return resource
