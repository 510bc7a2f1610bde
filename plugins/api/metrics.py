"""What the platform counts, for Prometheus."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from tortoise.functions import Count

from helvetia.kernel.models import Deployment, DeploymentStatus, Service, ServiceStatus
from helvetia.kernel.platform import Platform

CONTENT_TYPE = CONTENT_TYPE_LATEST
_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


class Metrics:
    """The metrics of one process, in a registry of their own."""

    def __init__(self) -> None:
        registry = self._registry = CollectorRegistry()
        self._requests = Counter(
            "helvetia_http_requests",
            "HTTP requests answered",
            ("method", "route", "status"),
            registry=registry,
        )
        self._seconds = Histogram(
            "helvetia_http_request_seconds",
            "Time to answer an HTTP request",
            ("method", "route"),
            buckets=_SECONDS,
            registry=registry,
        )
        self._deployments = Gauge(
            "helvetia_deployments", "Deployments by status", ("status",), registry=registry
        )
        self._services = Gauge(
            "helvetia_services", "Services by status", ("status",), registry=registry
        )
        self._queue = Gauge(
            "helvetia_queue_depth", "Deployments that wait for a worker", registry=registry
        )
        self._followers = Gauge(
            "helvetia_log_followers", "Open log streams of this process", registry=registry
        )
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)
        GCCollector(registry=registry)

    def count_request(self, method: str, route: str, status: int, seconds: float | None) -> None:
        """Count an answered request.

        Args:
            route: the pattern of the path, never the path itself: there are few patterns.
            seconds: None for a connection that was meant to stay open.
        """
        self._requests.labels(method, route, str(status)).inc()
        if seconds is not None:
            self._seconds.labels(method, route).observe(seconds)

    async def render(self, platform: Platform) -> bytes:
        """Look at the database and return everything in the text format."""
        deployments = await _by_status(Deployment, DeploymentStatus)
        for status, count in deployments.items():
            self._deployments.labels(status).set(count)
        for status, count in (await _by_status(Service, ServiceStatus)).items():
            self._services.labels(status).set(count)
        self._queue.set(deployments[DeploymentStatus.QUEUED.value])
        self._followers.set(platform.hub.followers)
        return generate_latest(self._registry)


async def _by_status(model: Any, statuses: Iterable[Any]) -> dict[str, int]:
    rows = await model.annotate(count=Count("id")).group_by("status").values("status", "count")
    found = {str(getattr(row["status"], "value", row["status"])): row["count"] for row in rows}
    return {status.value: found.get(status.value, 0) for status in statuses}
