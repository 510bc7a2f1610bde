"""What the stock plugins offer, without a platform."""

from __future__ import annotations

from importlib.metadata import entry_points
from pathlib import Path

from helvetia.kernel.http.routing import Endpoint, Resource
from helvetia.kernel.plugins import GROUP, STOCK, PluginManager
from helvetia.testing import TestKernel


def endpoints() -> list[Endpoint]:
    """Return every REST endpoint of the stock plugins."""
    found = [p for p in entry_points(group=GROUP) if p.dist and p.dist.name == STOCK]
    plugins = PluginManager(strict=True, found=found)
    offered = plugins.collect("helvetia_resources", Resource, kernel=TestKernel(Path("unused")))
    resources = [resource for _, resource in offered]
    return [endpoint for resource in resources for endpoint in resource.endpoints]
