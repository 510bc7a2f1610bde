"""The hostnames of services."""

from __future__ import annotations

from .models import Domain, Service


def default_hostname(service: Service, domain: str) -> str:
    """Return the hostname every service has, below the base domain."""
    return f"{service.name}.{domain}"


async def hostnames(service: Service, domain: str) -> tuple[str, ...]:
    """Return all hostnames of a service that are routed, its own below the base domain first."""
    rows = await Domain.filter(service_id=service.id, verified_at__not_isnull=True).order_by(
        "hostname"
    )
    return (default_hostname(service, domain), *(row.hostname for row in rows))
