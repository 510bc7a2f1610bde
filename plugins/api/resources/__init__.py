"""The resources of the API, one per module."""

from __future__ import annotations

from helvetia import Resource

from . import (
    deployments,
    domains,
    environment,
    events,
    installation,
    logs,
    plans,
    plugins,
    releases,
    services,
    signing_in,
    tokens,
    workers,
)

RESOURCES: tuple[Resource, ...] = tuple(
    module.resource
    for module in (
        installation, services, deployments, releases, environment, domains, logs, events,
        plans, plugins, tokens, workers, signing_in,
    )
)  # fmt: skip
