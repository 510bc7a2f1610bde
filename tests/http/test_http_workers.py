"""The list of workers and the queue."""

from __future__ import annotations

from datetime import timedelta

from http_support import World, make_deployment, make_service

from helvetia.kernel.models import Deployment, DeploymentStatus, Worker, utcnow
from helvetia.kernel.presence import Presence, missing

EU, BUILD = frozenset({"region=eu"}), frozenset({"build"})


async def test_workers_are_listed_with_what_they_run(world: World) -> None:
    assert (await world.get("/api/v1/workers", who="operator")).json["items"] == []
    presence = Presence(world.platform)
    await presence.beat()
    await presence.beat()
    await Worker.create(
        name="gone",
        host="there",
        version="0.1.0",
        labels="build,region=eu",
        concurrency=4,
        seen_at=utcnow() - timedelta(minutes=1),
    )
    service = await make_service()
    deployment = await make_deployment(
        service, 1, status=DeploymentStatus.RUNNING, worker=world.platform.worker
    )
    items = (await world.get("/api/v1/workers", who="operator")).json["items"]
    found = {item["name"]: item for item in items}
    assert set(found) == {"gone", world.platform.worker}
    gone, alive = found["gone"], found[world.platform.worker]
    assert (gone["status"], gone["labels"], gone["running"]) == (
        "silent",
        ["build", "region=eu"],
        [],
    )
    assert (alive["status"], alive["concurrency"]) == ("alive", 2)
    assert alive["running"] == [{"id": deployment.id, "service": "web", "number": 1}]
    await presence.leave()
    assert [row.name for row in await Worker.all()] == ["gone"]


async def test_who_was_silent_for_long_is_forgotten_by_the_next_that_comes(world: World) -> None:
    long_ago = utcnow() - timedelta(hours=2)
    await Worker.create(name="old", host="h", version="0", concurrency=1, seen_at=long_ago)
    await Presence(world.platform).beat()
    assert [row.name for row in await Worker.all()] == [world.platform.worker]


async def test_the_queue_shows_what_waits_and_why(world: World) -> None:
    empty = (await world.get("/api/v1/queue", who="operator")).json
    assert (empty["waiting"], empty["running"], empty["next"]) == (0, 0, [])
    assert (empty["broker"], empty["broker_ok"]) == ("", True)
    service = await make_service()
    service.settings = {**service.settings, "worker_labels": ["region=eu"]}
    await service.save()
    deployment = await make_deployment(service, 1)
    presence = Presence(world.platform)
    await presence.beat()
    assert await presence.waiting() == []
    for _ in range(2):
        await presence.explain()
    reason = "no worker with label region=eu is there"
    queue = (await world.get("/api/v1/queue", who="operator")).json
    assert queue["waiting"] == 1
    (item,) = queue["next"]
    assert (item["id"], item["labels"], item["reason"]) == (deployment.id, ["region=eu"], reason)
    log = (await world.get(f"/api/v1/deployments/{deployment.id}/logs")).json["records"]
    assert [record["text"] for record in log] == [f"waits: {reason}"]
    await Worker.create(
        name="b", host="h", version="0", labels="region=eu", concurrency=1, seen_at=utcnow()
    )
    await presence.explain()
    assert (await Deployment.get(id=deployment.id)).reason == ""


async def test_labels_of_a_service_are_checked(world: World) -> None:
    await make_service()
    for labels, status in ((["build", "region=eu"], 200), (["Region=EU"], 422), ("build", 422)):
        change = {"settings": {"worker_labels": labels}}
        answer = await world.call("PATCH", "/api/v1/services/web", json=change)
        assert answer.status == status, answer.raw


def test_what_is_missing_is_named() -> None:
    assert missing(frozenset(), []) != "", "there is no worker at all"
    assert missing(frozenset(), [frozenset()]) == ""
    assert missing(EU, [BUILD, EU]) == ""
    assert missing(EU, [BUILD]) == "no worker with label region=eu is there"
    assert missing(EU | BUILD, []) == "no worker with label build and region=eu is there"
    assert missing(EU | BUILD, [EU, BUILD]) == "no worker has all the labels build, region=eu"
