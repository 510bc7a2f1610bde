"""Deployments: asking, asking again, calling off, showing."""

from __future__ import annotations

import asyncio

import pytest
from http_support import World, make_deployment, make_release, make_service

from helvetia.kernel.models import (
    Deployment,
    DeploymentStatus,
    Service,
    StageRun,
    StageStatus,
    utcnow,
)

PATH = "/api/v1/services/web/deployments"


async def test_deploying_queues_and_rings(world: World) -> None:
    await make_service()
    answer = await world.post(PATH, {"ref": "v1"})
    assert answer.status == 201
    assert (answer.json["status"], answer.json["number"], answer.json["ref"]) == ("QUEUED", 1, "v1")
    assert answer.json["url"].startswith("http://web.localhost")
    assert world.rung == [answer.json["id"]]
    without_a_body = await world.call("POST", PATH)
    assert (without_a_body.status, without_a_body.json["number"]) == (201, 2)
    first = await world.get(f"/api/v1/deployments/{answer.json['id']}")
    assert first.json["status"] == "SUPERSEDED"


async def test_the_same_key_is_the_same_deployment(world: World) -> None:
    await make_service()
    headers = {"Idempotency-Key": "k-1"}
    answers = await asyncio.gather(*(world.post(PATH, {}, headers=headers) for _ in range(5)))
    assert sorted(answer.status for answer in answers) == [200, 200, 200, 200, 201]
    assert len({answer.json["id"] for answer in answers}) == 1
    assert await Deployment.all().count() == 1
    other = await world.post(PATH, {}, headers={"Idempotency-Key": "k-2"})
    assert (other.status, other.json["number"]) == (201, 2)
    await make_service("another")
    elsewhere = await world.post("/api/v1/services/another/deployments", {}, headers=headers)
    assert elsewhere.status == 201


@pytest.mark.parametrize("key", ["", "x" * 201, "ü", "a b"])
async def test_a_wrong_key_is_named(world: World, key: str) -> None:
    await make_service()
    answer = await world.post(PATH, {}, headers={"Idempotency-Key": key})
    assert answer.fields() == {"Idempotency-Key"}
    assert await Deployment.all().count() == 0


async def test_what_contradicts_itself_is_refused(world: World) -> None:
    service = await make_service()
    assert (await world.post(PATH, {"action": "restart"})).status == 409
    assert (await world.post(PATH, {"action": "rollback", "release": 7})).status == 404
    await make_release(service, 1)
    assert (await world.post(PATH, {"action": "rollback"})).status == 409
    for body in ({"action": "rollback", "ref": "x"}, {"release": 1}, {"release": 2**40}):
        assert (await world.post(PATH, body)).status == 422
    answer = await world.post(PATH, {"action": "explode"})
    assert answer.fields() == {"action"}
    assert "'deploy', 'restart' or 'rollback'" in answer.json["detail"]
    assert not world.rung


async def test_an_operators_trust_is_not_lent_to_others(world: World) -> None:
    await make_service(source_url="/srv/app", source_trusted=True)
    for source in ("/etc", "http://127.0.0.1:8701/x.git"):
        answer = await world.post(PATH, {"source": source}, who="member")
        assert (answer.status, answer.json["code"]) == (403, "forbidden")
    assert (await world.post(PATH, {"source": f"upload:{'0' * 64}"}, who="member")).status == 201
    assert (await world.post(PATH, {}, who="member")).status == 201
    assert (await world.post(PATH, {"source": "/srv/b"}, who="operator")).status == 201


async def test_a_deployment_is_found_by_the_beginning_of_its_id(world: World) -> None:
    service = await make_service()
    ids = ["abcd000000000000", "abcd100000000000", "abff000000000000"]
    for number, id in enumerate(ids, 1):
        await make_deployment(service, number, id=id)
    assert (await world.get("/api/v1/deployments/abff")).json["id"] == ids[2]
    assert (await world.get("/api/v1/deployments/abcd1")).json["id"] == ids[1]
    assert (await world.get(f"/api/v1/deployments/{ids[0]}")).json["id"] == ids[0]
    several = await world.get("/api/v1/deployments/abcd")
    assert several.status == 404
    assert "several" in several.json["detail"]
    for key in ("abf", "abce", "ABFF", "abf_", "%25%25%25%25", "0000"):
        assert (await world.get(f"/api/v1/deployments/{key}")).status == 404
    # Several of others are as good as none.
    theirs = await world.get("/api/v1/deployments/abcd", who="stranger")
    assert "several" not in theirs.json["detail"]


async def test_a_failure_names_stage_and_provider(world: World) -> None:
    service = await make_service()
    deployment = await make_deployment(
        service,
        1,
        status=DeploymentStatus.FAILED,
        reason="exit code 2",
        reason_code="build-failed",
        receipt={"probe_seconds": 1.5, "requests": 10},
    )
    for position, (name, status) in enumerate(
        [("fetch", StageStatus.SUCCEEDED), ("build", StageStatus.FAILED)]
    ):
        await StageRun.create(
            deployment_id=deployment.id,
            position=position,
            name=name,
            provider=f"{name}er",
            status=status,
        )
    shown = (await world.get(f"/api/v1/deployments/{deployment.id}")).json
    assert (shown["failed_stage"], shown["failed_provider"]) == ("build", "builder")
    assert [stage["name"] for stage in shown["stages"]] == ["fetch", "build"]
    assert (shown["reason"], shown["reason_code"]) == ("exit code 2", "build-failed")
    assert (shown["receipt"]["probe_seconds"], shown["receipt"]["failed"]) == (1.5, None)
    assert (await world.get(PATH)).json["items"] == [shown]


async def test_calling_off(world: World) -> None:
    service = await make_service()
    waiting = await make_deployment(service, 1)
    running = await make_deployment(service, 2, status=DeploymentStatus.RUNNING)
    answer = await world.post(f"/api/v1/deployments/{waiting.id}/cancel")
    assert (answer.status, answer.json["status"]) == (202, "CANCELLED")
    answer = await world.post(f"/api/v1/deployments/{running.id}/cancel")
    assert (answer.status, answer.json["status"]) == (202, "RUNNING")
    assert (await Deployment.get(id=running.id)).cancel_requested
    again = await world.post(f"/api/v1/deployments/{waiting.id}/cancel")
    assert (again.status, again.json["code"]) == (409, "conflict")


async def test_pages_are_newest_first_and_do_not_shift(world: World) -> None:
    service = await make_service()
    for number in range(1, 8):
        await make_deployment(service, number, status=DeploymentStatus.LIVE, finished_at=utcnow())
    first = await world.get(f"{PATH}?limit=3")
    await make_deployment(service, 8)
    second = await world.get(PATH, params={"limit": "3", "cursor": first.json["next"]})
    third = await world.get(PATH, params={"limit": "3", "cursor": second.json["next"]})
    numbers = [one["number"] for page in (first, second, third) for one in page.json["items"]]
    assert numbers == [7, 6, 5, 4, 3, 2, 1]
    assert third.json["next"] is None


async def test_what_is_known_is_not_sent_again(world: World) -> None:
    service = await make_service()
    deployment = await make_deployment(service, 1)
    path = f"/api/v1/deployments/{deployment.id}"
    tag = (await world.get(path)).headers["ETag"]
    assert not tag.startswith("W/")
    for known in (tag, f'"x", {tag}', f"W/{tag}", "*"):
        answer = await world.get(path, headers={"If-None-Match": known})
        assert (answer.status, answer.raw, answer.headers["ETag"]) == (304, b"", tag)
    answer = await world.get(path, headers={"If-None-Match": '"other"'})
    assert answer.status == 200
    await Deployment.filter(id=deployment.id).update(status=DeploymentStatus.RUNNING)
    answer = await world.get(path, headers={"If-None-Match": tag})
    assert (answer.status, answer.json["status"]) == (200, "RUNNING")
    assert answer.headers["ETag"] != tag
    # The right to know is asked first.
    theirs = await world.get(path, who="stranger", headers={"If-None-Match": "*"})
    assert theirs.status == 404


async def test_the_name_wins_nothing_over_an_id(world: World) -> None:
    service = await make_service()
    answer = await world.post("/api/v1/services", {"name": "a" * 16, "source": "x"})
    assert answer.status == 422
    assert (await Service.all().count(), service.name) == (1, "web")
