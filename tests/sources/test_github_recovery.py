"""What GitHub could not deliver is asked for again, if it still holds; and nothing else is."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
from aiohttp import web

from helvetia.kernel.models import Delivery, Deployment, Event, Service, utcnow
from helvetia.plugins.github import app, client, recovery
from helvetia.plugins.github.models import Connection, Task
from tests.github_stand_in.deliveries import Deliveries
from tests.github_stand_in.rest import Repo
from tests.github_stand_in.world import APP_SECRET, World, open_github_world


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "_PAUSE_SECONDS", 0.01)
    monkeypatch.setattr(client, "_WRITE_SECONDS", 0.0)
    client._kept.clear()
    app._tokens.clear()


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with open_github_world(tmp_path, light="yes") as made:
        yield made


@pytest.fixture
async def app_world(tmp_path: Path) -> AsyncIterator[World]:
    async with open_github_world(tmp_path, light="yes", as_app="yes") as made:
        yield made


async def connected(world: World) -> tuple[Service, Repo, Deliveries]:
    """A service with its repository, and what GitHub remembers of its webhook."""
    await world.person("ada")
    repo = world.github.repo("ada/site", ada="admin")
    repo.commit(a="1")
    service = await world.create("site", repo)
    status, _ = await world.call("POST", "/api/v1/services/site/github", {})
    assert status == 201
    await world.settle()
    (number,) = repo.hooks
    return service, repo, repo.deliveries.setdefault(number, Deliveries())


async def later(world: World) -> None:
    """Some minutes later, when everything was sent again that was asked for."""
    await world.again()
    await world.github.settled()


def asked_for(world: World) -> list[str]:
    return [path for method, path, _ in world.github.log if path.endswith("/attempts")]


async def deployed() -> list[str | None]:
    return [one.source_ref for one in await Deployment.all().order_by("created_at", "number")]


async def push(world: World, repo: Repo, branch: str = "main", **files: str) -> str:
    sha = repo.commit(branch, **files)
    await world.github.send(repo, "push", world.github.push(repo, branch, sha))
    return sha


async def test_a_push_that_did_not_arrive_is_asked_for_again(world: World) -> None:
    service, repo, log = await connected(world)
    world.github.is_cut_off = True
    old = await push(world, repo, a="2")
    new = await push(world, repo, a="3")
    await push(world, repo, "other", a="4")
    assert await deployed() == []
    world.github.is_cut_off = False
    await later(world)
    # Of one branch only what it points at now: the older push would win if it came later.
    assert await deployed() == [new]
    assert old not in await deployed()
    assert len(asked_for(world)) == 2
    reasons = await Delivery.all().values_list("reason", flat=True)
    assert sorted(str(one)[:6] for one in reasons) == ["branch", "push t"]
    keys = {f"github:{one['guid']}" for one in log.items if one["redelivery"]}
    assert set(await Delivery.all().values_list("delivery_key", flat=True)) == keys
    assert await Event.filter(kind="github.asked-again", service_id=service.id).count() == 2
    for _ in range(2):
        await later(world)
    assert len(asked_for(world)) == 2
    assert await deployed() == [new]


async def test_what_keeps_failing_is_given_up(world: World) -> None:
    _, repo, log = await connected(world)
    world.github.is_cut_off = True
    lost = await push(world, repo, a="2")
    for _ in range(5):
        await later(world)
    assert len(asked_for(world)) == 3
    assert [one["guid"] for one in log.items] == [log.items[0]["guid"]] * 4
    # GitHub does not reach us, but we reach GitHub: the branch itself tells.
    assert await deployed() == [lost]
    world.github.is_cut_off = False
    sha = await push(world, repo, a="3")
    await later(world)
    assert await deployed() == [lost, sha]


async def test_what_has_come_is_not_asked_for(world: World) -> None:
    """The answer was lost, or another attempt went well."""
    _, repo, log = await connected(world)
    sha = await push(world, repo, a="2")
    log.items[0] |= {"status": "timed out", "status_code": 504}
    await later(world)
    assert asked_for(world) == []
    world.github.is_cut_off = True
    newer = await push(world, repo, a="3")
    world.github.is_cut_off = False
    missed = log.items[0]
    again = await world.github.deliver(
        missed["config"], "push", missed["request"]["payload"], log=log, guid=missed["guid"]
    )
    await later(world)
    assert (again["status"], asked_for(world)) == (202, [])
    assert await deployed() == [sha, newer]


async def test_a_pull_request_is_told_of_as_it_stands(world: World) -> None:
    _, repo, _ = await connected(world)
    world.github.is_cut_off = True
    github, sha = world.github, "c" * 40
    await github.send(repo, "pull_request", github.pull(repo, 7, "opened", sha))
    await github.send(repo, "pull_request", github.pull(repo, 8, "opened", sha))
    world.github.is_cut_off = False
    await github.send(repo, "pull_request", github.pull(repo, 7, "closed", sha))
    await later(world)
    # 7 is closed by now: to hear that it was opened would bring its preview back.
    assert len(asked_for(world)) == 1
    bodies = [bytes(row.body) for row in await Delivery.filter(event="pull_request")]
    numbers = sorted(json.loads(body)["number"] for body in bodies)
    assert numbers == [7, 8]
    assert [b'"closed"' in body for body in bodies if json.loads(body)["number"] == 7] == [True]


async def test_much_that_was_missed_is_asked_for_bit_by_bit(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recovery, "_ASKED_AT_ONCE", 2)
    _, repo, log = await connected(world)
    world.github.is_cut_off = True
    branches = [f"b{number}" for number in range(5)]
    for branch in branches:
        await push(world, repo, branch, a=branch)
    # Pages of others are between them and now.
    (hook,) = repo.hooks.values()
    for index in range(250):
        log.add(
            10_000 + index, guid=f"ping-{index}", event="ping", payload={}, status=200,
            config=hook["config"], redelivery=False,
        )  # fmt: skip
    world.github.is_cut_off = False
    counts = []
    for _ in range(4):
        await later(world)
        counts.append(len(asked_for(world)))
    assert counts == [2, 4, 5, 5]
    assert await Delivery.all().count() == 5
    task = await Task.get(kind="recover")
    assert "since" in task.found


async def test_a_branch_that_moved_without_a_push_is_taken_up(world: World) -> None:
    _, repo, _ = await connected(world)
    await later(world)
    hooks, repo.hooks = repo.hooks, {}
    sha = await push(world, repo, a="2")
    await Connection.all().update(hook=None)
    repo.hooks = hooks
    await later(world)
    # Its delivery may still be on the way.
    assert await deployed() == []
    await later(world)
    assert await deployed() == [sha]
    (row,) = await Delivery.filter(event="push")
    assert (row.verdict, row.headers["User-Agent"]) == ("deployed", "Helvetia (no push came)")
    for _ in range(3):
        await later(world)
    assert await deployed() == [sha]


async def test_a_branch_obeys_the_rules_of_pushes(world: World) -> None:
    _, repo, _ = await connected(world)
    await later(world)
    # One that was delivered and refused by a rule is not deployed behind its back.
    sha = repo.commit("main", "Typo [skip ci]", a="2")
    said = {"id": sha, "message": "Typo [skip ci]"}
    payload = world.github.push(repo, "main", sha, head_commit=said)
    await world.github.send(repo, "push", payload)
    for _ in range(3):
        await later(world)
    assert await deployed() == []
    # Nor one of which nothing came.
    repo.commit("main", "Typo [ci skip]", a="3")
    for _ in range(3):
        await later(world)
    reasons = (
        await Delivery.filter(event="push").order_by("created_at").values_list("reason", flat=True)
    )
    assert reasons == [f"the newest commit says [{what}]" for what in ("skip ci", "ci skip")]
    # A stopped service does not move.
    await Service.all().update(desired="stopped")
    repo.commit("main", a="4")
    for _ in range(3):
        await later(world)
    assert await deployed() == []


async def test_the_app_is_asked_too(app_world: World) -> None:
    world = app_world
    await world.person("ada")
    repo = world.github.repo("acme/site", ada="write")
    other = world.github.repo("acme/other", ada="write")
    for one in (repo, other):
        one.commit(a="1")
    number = world.github.install("acme", repo, other, users=("ada",))
    await world.create("site", repo)
    await world.call("POST", "/api/v1/services/site/github", {})
    await later(world)
    hook = {"url": f"{world.url}/hooks/github", "secret": APP_SECRET}
    by = {"installation": {"id": number, "account": {"login": "acme"}}}
    world.github.is_cut_off = True
    for one in (repo, other):
        sha = one.commit(a="2")
        await world.github.deliver(hook, "push", {**by, **world.github.push(one, "main", sha)})
    world.github.is_cut_off = False
    await later(world)
    # The other repository is no service's.
    assert len(asked_for(world)) == 1
    assert await deployed() == [repo.git("rev-parse", "HEAD")]
    await later(world)
    assert len(asked_for(world)) == 1


async def test_what_became_of_the_app_is_seen_without_a_word(app_world: World) -> None:
    world = app_world
    await world.person("ada")
    repo = world.github.repo("acme/site", ada="write")
    repo.commit(a="1")
    number = world.github.install("acme", repo, users=("ada",))
    service = await world.create("site", repo)
    await world.call("POST", "/api/v1/services/site/github", {})

    async def cut_off() -> str:
        await later(world)
        _, shown = await world.call("GET", "/api/v1/services/site/github")
        return str(shown["problem"])

    assert await cut_off() == ""
    world.github.installations[number]["suspended"] = True
    assert "removed or suspended" in await cut_off()
    # Once is enough to be told of it.
    assert "removed or suspended" in await cut_off()
    assert await Event.filter(service_id=service.id, kind="github.cut-off").count() == 1
    # While GitHub does not answer nothing is known, and nothing changes.
    world.github.installations[number]["suspended"] = False
    world.github.down = True
    assert "removed or suspended" in await cut_off()
    world.github.down = False
    assert await cut_off() == ""
    repo.installation = 0
    assert "may not see this repository" in await cut_off()
    again = world.github.install("acme", repo, users=("ada",))
    assert await cut_off() == ""
    assert (await Connection.get()).installation == again != number
    assert await deployed() == []


async def test_looking_is_never_given_up(world: World) -> None:
    _, repo, _ = await connected(world)
    world.github.is_cut_off = True
    sha = await push(world, repo, a="2")
    world.github.is_cut_off = False
    # GitHub is down for more than a day, and then does not like the grant for a while.
    await Task.all().update(created_at=utcnow() - timedelta(days=9), attempts=5000)
    world.github.down = True
    await later(world)
    world.github.down = False
    world.github.fault = lambda request: (
        web.Response(status=401, text="{}") if request.path.startswith("/api") else None
    )
    await later(world)
    tasks = {one.kind: one for one in await Task.filter(kind__in=["hook", "recover"])}
    assert {name: bool(one.due_at and one.problem) for name, one in tasks.items()} == {
        "hook": True, "recover": True,
    }  # fmt: skip
    world.github.fault = None
    await later(world)
    assert await deployed() == [sha]


async def test_nothing_is_looked_for_when_it_is_disconnected(world: World) -> None:
    await connected(world)
    assert await Task.filter(kind="recover").count() == 1
    await world.call("DELETE", "/api/v1/services/site/github")
    assert not await Task.filter(kind="recover").exists()
