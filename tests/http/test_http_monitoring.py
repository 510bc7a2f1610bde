"""Health, readiness, metrics."""

from __future__ import annotations

import sqlite3

from http_support import World, make_deployment, make_service
from prometheus_client.parser import text_string_to_metric_families

from helvetia.kernel.models import DeploymentStatus, ServiceStatus


async def test_metrics_count_what_is_there(world: World) -> None:
    service = await make_service(status=ServiceStatus.ACTIVE)
    await make_deployment(service, 1, status=DeploymentStatus.LIVE)
    await make_deployment(service, 2)
    await make_deployment(service, 3)
    await world.get("/api/v1/services/web/releases")
    await world.get("/api/v1/services/other/releases")
    await world.get("/nothing/at/all")
    answer = await world.get("/metrics")
    assert answer.headers["Content-Type"].startswith("text/plain")
    samples = {
        (sample.name, *sorted(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(answer.raw.decode())
        for sample in family.samples
    }
    assert samples["helvetia_deployments", "LIVE"] == 1
    assert samples["helvetia_deployments", "QUEUED"] == 2
    assert samples["helvetia_deployments", "FAILED"] == 0
    assert samples["helvetia_services", "ACTIVE"] == 1
    assert samples["helvetia_queue_depth",] == 2
    assert samples["helvetia_log_followers",] == 0
    route = "/api/v1/services/{service}/releases"
    assert samples["helvetia_http_requests_total", route, "200", "GET"] == 1
    assert samples["helvetia_http_requests_total", route, "404", "GET"] == 1
    assert samples["helvetia_http_requests_total", "404", "any", "none"] == 1
    assert samples["helvetia_http_request_seconds_count", route, "GET"] == 2
    assert samples["process_resident_memory_bytes",] > 1e6
    assert b"/nothing" not in answer.raw


async def test_health_needs_no_database_and_readiness_does(world: World) -> None:
    assert (await world.get("/healthz", who=None)).json == {"status": "alive"}
    assert (await world.get("/readyz", who=None)).json == {"status": "ready"}
    assert (await world.call("HEAD", "/healthz", who=None)).status == 200
    with sqlite3.connect(world.platform.home / "helvetia.db") as connection:
        connection.execute("DROP TABLE fact")
    assert (await world.get("/healthz", who=None)).status == 200
    answer = await world.get("/readyz", who=None)
    assert (answer.status, answer.json["code"]) == (503, "not-ready")
