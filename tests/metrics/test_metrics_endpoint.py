"""What was measured, over the API and as the command shows it."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
from http_support import (
    TOKENS,
    World,
    make_deployment,
    make_home,
    make_service,
    open_platform,
    serve,
)

from helvetia.cli.measuring import facts, sparkline
from helvetia.kernel.models import Service, StageRun, StageStatus, utcnow
from helvetia.plugins.metrics import rings
from helvetia.plugins.metrics.models import Watch
from helvetia.plugins.metrics.points import CPU, FIELDS, MEMORY, SECONDS, unknown
from helvetia.plugins.metrics.shapes import ServiceMetrics


@pytest.fixture(scope="package")
def populated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_home(tmp_path_factory.mktemp("metrics"))


@pytest.fixture
async def world(populated: Path, tmp_path: Path) -> AsyncIterator[World]:
    home = shutil.copytree(populated, tmp_path / "home")
    settings = {"HELVETIA_METRICS_SECONDS": "1"}
    async with open_platform(home, **settings) as platform, serve(platform) as world:
        yield world


async def measured(service: Service, *, back: int = 0, cpu: float = 1.0) -> None:
    point = unknown()
    point[SECONDS], point[CPU], point[MEMORY] = 5.0, cpu, 1000.0
    point[7:11] = [20.0, 0.0, 4.0, 1.0]
    point[len(FIELDS) :] = [20.0, 0.0, 0.0, 5.0, *[0.0] * 5]
    pending: rings.Pending = {}
    rings.note(pending, service.id, int(time.time()) - back, point)
    await rings.write(pending, [service.id])


async def test_a_series_is_shown_and_somebody_is_known_to_look(world: World) -> None:
    service = await make_service()
    await measured(service, back=60)
    answer = await world.get("/api/v1/services/web/metrics?range=hour", who="viewer")
    assert answer.json["step_seconds"] == 5
    [point] = answer.json["points"]
    assert point.pop("time") <= time.time() - 59
    assert point == {
        "cpu": 0.2, "memory_bytes": 1000, "processes": None, "received_per_second": None,
        "sent_per_second": None, "restarts": None, "requests_per_second": 5.0,
        "statuses": {"2xx": 20, "3xx": 0, "4xx": 4, "5xx": 1},
        "p50": pytest.approx(0.00625), "p95": pytest.approx(0.1 + 0.15 * 0.75),
        "p99": pytest.approx(0.1 + 0.15 * 0.95),
    }  # fmt: skip
    assert await Watch.filter(id=service.id, until__gt=utcnow()).exists()
    assert (await world.get("/api/v1/services/web/metrics", who="stranger")).status == 404
    answer = await world.get("/api/v1/services/web/metrics?range=year")
    assert (answer.status, answer.fields()) == (422, {"range"})


async def test_new_points_come_by_themselves(world: World) -> None:
    service = await make_service()
    await measured(service, back=60)
    url = f"{world.url}/api/v1/services/web/metrics/live"
    headers = {"Authorization": f"Bearer {TOKENS['viewer']}"}
    async with world.session.ws_connect(url, headers=headers) as socket:
        first = json.loads((await socket.receive(timeout=10)).data)
        assert [one["cpu"] for one in first["points"]] == [0.2]
        await measured(service, cpu=2.0)
        second = json.loads((await socket.receive(timeout=10)).data)
        assert second["points"][-1]["cpu"] == 0.4


async def test_the_last_hour_of_all_that_one_may_see(world: World) -> None:
    for name in ("a", "b", "c"):
        await measured(await make_service(name), back=120)
    answer = await world.get("/api/v1/metrics?limit=2", who="viewer")
    assert [one["service"] for one in answer.json["items"]] == ["a", "b"]
    line = answer.json["items"][0]
    assert len(line["cpu"]) == len(line["memory_bytes"]) == 60
    assert [value for value in line["memory_bytes"] if value is not None] == [1000]
    rest = await world.get(f"/api/v1/metrics?cursor={answer.json['next']}", who="viewer")
    assert ([one["service"] for one in rest.json["items"]], rest.json["next"]) == (["c"], None)
    assert (await world.get("/api/v1/metrics", who="stranger")).json["items"] == []


async def test_how_long_deployments_took(world: World) -> None:
    service = await make_service()
    began = utcnow()
    for number in (1, 2):
        deployment = await make_deployment(service, number)
        for position, (name, seconds) in enumerate((("fetch", 1.0), ("build", 2.5))):
            await StageRun.create(
                deployment=deployment,
                position=position,
                name=name,
                status=StageStatus.SUCCEEDED,
                started_at=began + timedelta(seconds=position),
                finished_at=began + timedelta(seconds=position + seconds),
            )
    await make_deployment(service, 3)  # it has not begun
    answer = await world.get("/api/v1/services/web/metrics/deployments")
    assert [one["number"] for one in answer.json["items"]] == [2, 1]
    assert answer.json["items"][0]["stages"] == {"fetch": 1.0, "build": 2.5}
    assert answer.json["items"][0]["seconds"] == 3.5


def test_a_series_in_one_line() -> None:
    assert sparkline([0, 1, 2, 4, None, 8]) == "▁▂▃▅ █"
    assert sparkline([]) == ""
    unknown_ones = ("received_per_second", "sent_per_second", "requests_per_second", "statuses")
    point: dict[str, int | None] = {name: None for name in (*unknown_ones, "p50", "p95", "p99")}
    point |= {"processes": 1, "restarts": 0}
    points = [
        {**point, "time": 5 * n, "cpu": n / 100, "memory_bytes": 2**20} for n in range(0, 720, 3)
    ]
    found = ServiceMetrics.model_validate({"range": "hour", "step_seconds": 5, "points": points})
    shown = dict(facts(found))
    picture, _, words = shown["cpu"].partition("  ")
    assert len(picture) == 60
    assert picture[0] == "▁"
    assert picture[-1] == "█"
    assert words == "7.17, at most 7.17"
    assert shown["requests"] == ""
