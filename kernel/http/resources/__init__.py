"""The resources of the API, one per module."""

from __future__ import annotations

from helvetia.kernel.http.routing import Resource

from . import (
    auth,
    deployments,
    domains,
    environment,
    events,
    installation,
    logs,
    monitoring,
    plans,
    plugins,
    releases,
    services,
    tokens,
    uploads,
)

RESOURCES: tuple[Resource, ...] = tuple(
    module.resource
    for module in (
        installation, services, deployments, releases, environment, domains, logs, events,
        plans, uploads, plugins, tokens, auth, monitoring,
    )
)  # fmt: skip
