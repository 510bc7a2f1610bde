"""The resources of the API, one per module."""

from __future__ import annotations

from helvetia import Resource

from . import (
    accounts,
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
    sessions,
    signing_in,
    teams,
    tokens,
    workers,
)

RESOURCES: tuple[Resource, ...] = tuple(
    module.resource
    for module in (
        installation, services, deployments, releases, environment, domains, logs, events,
        plans, plugins, monitoring, tokens, workers, signing_in, sessions, accounts,
        teams,
    )
)  # fmt: skip
