"""The labels by which Traefik finds an instance: its port and how to check it, but no route.

Each instance is a service of Traefik's own. Which of them get requests is said in one place, the
file of the route: a new one gets none before it is healthy, an old one none before it is stopped.
"""

from __future__ import annotations

from helvetia import HealthCheck, InstanceSpec

from .entrance import Entrance
from .names import check_id

ENABLE = "traefik.enable"
PORT = "{port}"
_EXPECTED = "200-399"
_LEAST_TIMEOUT = 5.0


def health_label(instance_id: str, name: str) -> str:
    """Return the name of a label that says how an instance is checked."""
    return f"traefik.http.services.{instance_id}.loadbalancer.healthcheck.{name}"


def instance_labels(
    spec: InstanceSpec,
    health: HealthCheck,
    *,
    entrance: Entrance,
    entry_point: str,
    hostname: str,
    seconds: float,
) -> dict[str, str]:
    """Return the labels of an instance.

    Args:
        entry_point: where its own router is, which leads nobody there but has Traefik check it.
        hostname: what checks ask for.
        seconds: pause between Traefik's checks; 0 for none.
    """
    one = check_id("instance", spec.id)
    router, service = f"traefik.http.routers.{one}", f"traefik.http.services.{one}.loadbalancer"
    labels = {
        ENABLE: "true",
        # A container that is started again keeps its place.
        "traefik.docker.allownonrunning": "true",
        f"{router}.rule": f"Host(`{one}.invalid`)",
        f"{router}.entrypoints": entry_point,
        f"{router}.service": one,
        f"{service}.server.port": PORT,
        f"{service}.serverstransport": f"{entrance.transport}@file",
    }
    status = _status(health)
    if seconds and health.path is not None and status is not None:
        found = {
            "path": health.path,
            "interval": f"{seconds:g}s",
            "timeout": f"{max(health.timeout_seconds, _LEAST_TIMEOUT):g}s",
            "hostname": hostname,
            "followredirects": "false",
            **({"status": status} if status else {}),
        }
        labels |= {health_label(one, name): value for name, value in found.items()}
    return labels


def _status(health: HealthCheck) -> str | None:
    """Return the one status that Traefik is to expect, "" for 200 to 399.

    None if it cannot be told: it knows nothing else.
    """
    if health.expected == _EXPECTED:
        return ""
    return health.expected if health.expected.isdecimal() else None
