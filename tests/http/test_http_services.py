"""Services, their environment, events, releases, plugins."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from http_support import World, archive, make_deployment, make_release, make_service

from helvetia.kernel import environment
from helvetia.kernel.models import (
    Deployment,
    DeploymentStatus,
    Desired,
    Domain,
    Event,
    Instance,
    InstanceStatus,
    Release,
    Service,
    Team,
    utcnow,
)

NEW = {"name": "web", "source": "https://git.example/app.git"}


async def test_a_service_from_creation_to_deletion(world: World) -> None:
    created = await world.post(
        "/api/v1/services",
        {**NEW, "ref": "main", "environment": {"A": "1"}, "settings": {"drain_seconds": 3}},
    )
    assert created.status == 201
    service = await Service.get(name="web")
    assert not service.source_trusted
    values = await environment.values(service.id, service.environment_version, world.platform.vault)
    assert values == {"A": "1"}
    assert created.json["url"].startswith("http://web.localhost")
    assert created.json["domains"] == ["web.localhost"]
    assert created.json["settings"]["drain_seconds"] == 3
    assert (created.json["status"], created.json["release"]) == ("IDLE", None)

    for key in ("web", service.id):
        shown = await world.get(f"/api/v1/services/{key}")
        assert shown.json == {**created.json, "instances": []}

    changed = await world.call(
        "PATCH", "/api/v1/services/web", json={"ref": None, "source": "https://git.example/b.git"}
    )
    assert (changed.json["ref"], changed.json["source"]) == (None, "https://git.example/b.git")
    assert changed.json["settings"] == created.json["settings"]

    gone = await world.call("DELETE", "/api/v1/services/web")
    assert (gone.status, gone.json["status_reason"]) == (202, "it is being deleted")
    assert (await world.call("DELETE", "/api/v1/services/web")).status == 202
    for method, path, body in (
        ("PATCH", "", {"ref": "x"}),
        ("POST", "/stop", None),
        ("POST", "/deployments", {}),
        ("PATCH", "/environment", {"set": {"B": "1"}}),
        ("POST", "/domains", {"hostname": "a.example.com"}),
    ):
        answer = await world.call(method, f"/api/v1/services/web{path}", json=body)
        assert (answer.status, answer.json["code"]) == (409, "conflict"), path
    kinds = {event.kind for event in await Event.filter(service_id=service.id)}
    assert kinds == {
        "service.created", "environment.changed", "service.changed", "service.delete-requested",
        "services.delete",  # the second time, when there was nothing more to do
    }  # fmt: skip


async def test_a_taken_name_is_a_conflict_whoever_has_it(world: World) -> None:
    await make_service()
    mine = await world.post("/api/v1/services", {**NEW, "environment": {"A": "1"}})
    theirs = await world.post("/api/v1/services", NEW, who="stranger")
    assert (mine.status, theirs.status) == (409, 409)
    assert mine.json["detail"] == theirs.json["detail"]
    assert await Service.all().count() == 1


async def test_nothing_is_left_of_a_service_with_a_wrong_variable(world: World) -> None:
    answer = await world.post("/api/v1/services", {**NEW, "environment": {"A": "1", "HOST": "x"}})
    assert answer.fields() == {"environment.HOST"}
    assert await Service.all().count() == 0
    assert await Event.filter(kind="service.created").count() == 0


async def test_only_operators_name_paths_of_the_machine(world: World) -> None:
    for who, trusted in (("owner", False), ("operator", True)):
        name = f"by-{who}"
        await world.post("/api/v1/services", {"name": name, "source": "/srv/app"}, who=who)
        assert (await Service.get(name=name)).source_trusted is trusted
    theirs = await make_service(source_url="/srv/app", source_trusted=True)
    await world.call("PATCH", "/api/v1/services/web", json={"source": "/etc"})
    assert (await Service.get(id=theirs.id)).source_trusted is False


async def test_null_is_not_absent(world: World) -> None:
    await make_service(source_ref="main")
    answer = await world.call("PATCH", "/api/v1/services/web", json={"type": None})
    assert answer.fields() == {"type"}
    answer = await world.call("PATCH", "/api/v1/services/web", json={})
    assert answer.fields() == {"body"}
    assert (await Service.get(name="web")).source_ref == "main"


async def test_stopping_cancels_what_is_deployed(world: World) -> None:
    service = await make_service()
    waiting = await make_deployment(service, 1)
    running = await make_deployment(service, 2, status=DeploymentStatus.RUNNING)
    assert (await world.post("/api/v1/services/web/stop")).status == 202
    assert (await Deployment.get(id=waiting.id)).status is DeploymentStatus.CANCELLED
    assert (await Deployment.get(id=running.id)).cancel_requested
    assert (await Service.get(id=service.id)).desired is Desired.STOPPED


async def test_starting_runs_the_release_again(world: World) -> None:
    service = await make_service(desired=Desired.STOPPED)
    assert (await world.post("/api/v1/services/web/start")).status == 409
    release = await make_release(service, 1)
    answer = await world.post("/api/v1/services/web/start")
    assert answer.status == 202
    deployment = await Deployment.get(id=answer.json["id"])
    assert (deployment.base_release_id, deployment.reuse_configuration) == (release.id, False)
    assert world.rung == [deployment.id]
    assert (await Service.get(id=service.id)).desired is Desired.RUNNING


async def test_a_list_in_pages(world: World) -> None:
    names = sorted(f"s{number:02}" for number in range(25))
    for name in reversed(names):
        await make_service(name)
    theirs = await Team.get(name="theirs")
    await make_service("s00-theirs", team_id=theirs.id)
    seen: list[str] = []
    cursor = None
    sizes = []
    while True:
        params = {"limit": "10"} | ({"cursor": cursor} if cursor else {})
        answer = await world.get("/api/v1/services", params=params)
        page = [item["name"] for item in answer.json["items"]]
        sizes.append(len(page))
        seen += page
        if (cursor := answer.json["next"]) is None:
            break
        if len(seen) == 10:
            # What is new before the cursor shifts nothing.
            await make_service("a-new-one")
    assert seen == names
    assert sizes == [10, 10, 5]
    everything = await world.get("/api/v1/services?limit=100", who="operator")
    assert len(everything.json["items"]) == 27


@pytest.mark.parametrize("path", ["/api/v1/services", "/api/v1/services/s0/deployments"])
async def test_a_list_takes_as_many_queries_for_many_as_for_one(
    world: World, path: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def queries() -> int:
        caplog.clear()
        with caplog.at_level(logging.DEBUG, logger="tortoise.db_client"):
            answer = await world.get(path)
        assert answer.status == 200
        return sum("SELECT" in record.getMessage() for record in caplog.records)

    service = await make_service("s0")
    await make_release(service, 1)
    await world.get(path)
    one = await queries()
    for number in range(2, 12):
        await make_release(service, number)
        another = await make_service(f"s{number}")
        await make_release(another, 1)
        await Domain.create(service_id=another.id, hostname=f"s{number}.example.com")
    many = await queries()
    assert many == one
    # Two to find out who asks, at most three for the list, one more for the service in the path.
    assert many <= 6


async def test_a_list_shows_each_change_at_once(either: World) -> None:
    team = await Team.get(name="ours")
    service = await make_service("kept", team_id=team.id)
    await make_service("other", source_url="https://git.example/\u00fc.git")

    async def listed() -> dict[str, Any]:
        answer = await either.get("/api/v1/services")
        one = await either.get("/api/v1/services/kept")
        first = {**answer.json["items"][0], "instances": []}
        # A list has the very words of a single service, put together by hand or not.
        assert first == {**one.json, "instances": []}
        assert [item["name"] for item in answer.json["items"]] == ["kept", "other"]
        return first

    before = await listed()
    assert await listed() == before
    instance = {"service_id": service.id, "runtime": "gone", "status": InstanceStatus.LIVE}
    changes: dict[str, Callable[[], Awaitable[object]]] = {
        "release": lambda: make_release(service, 1),
        "settings": lambda: Service.filter(id=service.id).update(settings={"drain_seconds": 7}),
        "status_reason": lambda: Service.filter(id=service.id).update(status_reason='a "word"'),
        "domains": lambda: Domain.create(
            service_id=service.id, hostname="kept.example.com", verified_at=utcnow()
        ),
        "live": lambda: _start(instance),
    }
    for field, change in changes.items():
        await change()
        now = await listed()
        assert now[field] != before[field], field
        before = now
    assert before["live"] == 1
    assert before["domains"] == ["kept.localhost", "kept.example.com"]
    page = await either.get("/api/v1/services?limit=1")
    assert page.json["next"] is not None


async def _start(instance: dict[str, Any]) -> None:
    release = await Release.get(service_id=instance["service_id"])
    await Instance.create(release_id=release.id, **instance)


async def test_a_service_shows_its_live_release_and_newest_deployment(world: World) -> None:
    service = await make_service()
    await make_release(service, 1)
    await make_release(service, 2)
    newest = await make_deployment(service, 3)
    shown = (await world.get("/api/v1/services")).json["items"][0]
    assert (shown["release"], shown["message"]) == (2, "change 2")
    assert shown["deployment_id"] == newest.id
    releases = (await world.get("/api/v1/services/web/releases")).json["items"]
    assert [(one["number"], one["is_live"]) for one in releases] == [(2, True), (1, False)]
    assert releases[0]["digest"] == "sha256:2"


async def test_an_instance_of_a_runtime_that_is_gone_is_shown(world: World) -> None:
    service = await make_service()
    release = await make_release(service, 1)
    await Instance.create(
        id="i1",
        service_id=service.id,
        release_id=release.id,
        runtime="gone",
        status=InstanceStatus.LIVE,
        host="127.0.0.1",
        port=5000,
    )
    shown = (await world.get("/api/v1/services/web")).json["instances"]
    assert len(shown) == 1
    assert (shown[0]["status"], shown[0]["address"]) == ("unknown", "127.0.0.1:5000")
    assert "gone" in shown[0]["reason"]


async def test_variables_are_written_and_never_read(world: World) -> None:
    await make_service()
    path = "/api/v1/services/web/environment"
    answer = await world.call("PATCH", path, json={"set": {"B": "secret-b", "A": "secret-a"}})
    assert [one["name"] for one in answer.json["items"]] == ["A", "B"]
    answer = await world.call("PATCH", path, json={"set": {"B": "other"}, "unset": ["A"]})
    assert [(one["name"], one["version"]) for one in answer.json["items"]] == [("B", 2)]
    listed = await world.get(path)
    assert listed.json["items"] == answer.json["items"]
    assert b"secret" not in listed.raw
    for body, field in (
        ({}, "set"),
        ({"set": {"PORT": "1"}}, "set.PORT"),
        ({"unset": ["A"]}, "unset.A"),
        ({"unset": ["1"]}, "unset.0"),
    ):
        answer = await world.call("PATCH", path, json=body)
        assert answer.fields() == {field}
    assert (await Service.get(name="web")).environment_version == 2


async def test_events_in_pages_newest_first(world: World) -> None:
    await make_service()
    path = "/api/v1/services/web"
    for number in range(5):
        await world.call("PATCH", path, json={"ref": f"r{number}"})
    seen: list[str] = []
    cursor = None
    for _ in range(3):
        params = {"limit": "2"} | ({"cursor": cursor} if cursor else {})
        answer = await world.get(f"{path}/events", params=params)
        seen += [item["id"] for item in answer.json["items"]]
        cursor = answer.json["next"]
    assert cursor is None
    rows = await Event.filter(kind="service.changed").order_by("-created_at")
    assert seen == [row.id for row in rows]


async def test_plugins_and_checks_are_listed(world: World) -> None:
    plugins = (await world.get("/api/v1/plugins?limit=100")).json["items"]
    pages = next(one for one in plugins if one["name"] == "pages")
    assert (pages["status"], pages["hooks"]) == ("active", ["helvetia_pages"])
    upload = next(one for one in plugins if one["name"] == "source-upload")
    assert upload["providers"] == ["source/upload"]
    checks = (await world.get("/api/v1/checks?limit=100", who="operator")).json["items"]
    assert {"family": "auth", "name": "form", "plugin": "tests", "ok": True, "reason": "ready"} in (
        checks
    )


async def test_a_plan_explains_and_keeps_nothing(world: World) -> None:
    data = archive(index__html="hello")
    headers = {"Content-Type": "application/gzip"}
    upload = await world.call("POST", "/api/v1/uploads", data=data, headers=headers)
    plan = await world.post("/api/v1/plans", upload.json)
    assert plan.status == 200, plan.raw
    done_by = {stage["stage"]: stage["provider"] for stage in plan.json["stages"]}
    assert (done_by["fetch"], done_by["build"]) == ("upload", "static")
    assert all(stage["reason"] for stage in plan.json["stages"])
    assert list(world.platform.folder("work").iterdir()) == []


async def test_a_plan_of_a_folder_is_for_operators(world: World, tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text("a file of the machine")
    answer = await world.post("/api/v1/plans", {"source": str(tmp_path)})
    assert answer.status in (409, 422)
    assert answer.json["code"] in ("no-provider", "invalid-input", "source-failed")
