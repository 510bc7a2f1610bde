"""Previews of pull requests: made, deployed again, bounded, and gone."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import asyncpg
import pytest
from aiohttp import web

from helvetia.kernel import environment, events
from helvetia.kernel.models import (
    Delivery,
    Deployment,
    DeploymentStatus,
    Desired,
    Scope,
    Service,
    utcnow,
)
from helvetia.plugins.github import app, client
from helvetia.plugins.github.models import Task
from helvetia.plugins.previews.listening import PreviewListener
from helvetia.plugins.previews.models import Preview
from tests.github_stand_in.rest import Repo
from tests.github_stand_in.world import World, open_github_world


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "_PAUSE_SECONDS", 0.01)
    monkeypatch.setattr(client, "_WRITE_SECONDS", 0.0)
    client._kept.clear()
    app._tokens.clear()


class Pulls:
    """The service `site` of Ada's, which has previews, and pull requests to its repository."""

    def __init__(self, world: World, service: Service, repo: Repo) -> None:
        self.world, self.service, self.repo = world, service, repo

    @property
    def listener(self) -> PreviewListener:
        found = [
            one for _, one in self.world.platform.providers.listeners if one.name == "previews"
        ]
        assert isinstance(found[0], PreviewListener)
        return found[0]

    async def send(
        self, number: int, action: str, sha: str, *, settled: bool = True, **more: Any
    ) -> str:
        """Send an event, wait until it was looked at, and return the reason of its verdict."""
        payload = self.world.github.pull(self.repo, number, action, sha, **more)
        (told,) = await self.world.github.send(self.repo, "pull_request", payload)
        assert told["status"] == 202, told
        if settled:
            await self.settle()
        return str((await Delivery.get(id=told["delivery"])).reason)

    async def settle(self) -> None:
        for _ in range(2):
            await self.world.settle()
            await self.listener.doing.settled()

    async def later(self) -> None:
        await Task.filter(due_at__not_isnull=True).update(due_at=utcnow(), claimed_until=None)
        await events.tidy(self.world.platform.providers)
        await self.settle()

    async def get(self, number: int) -> Service | None:
        preview = await Preview.get_or_none(number=number, state="open")
        return await Service.get_or_none(id=preview.service_id) if preview else None

    def commit(self, number: int, text: str) -> str:
        return self.repo.commit(f"feature-{number}", **{"index.html": text})

    def comments(self) -> list[str]:
        return [one["body"] for one in self.repo.comments.values()]


async def set_up(world: World, **policy: object) -> Pulls:
    await world.person("ada")
    repo = world.github.repo("ada/site", ada="admin")
    repo.commit(**{"index.html": "<h1>main</h1>"})
    service = await world.create("site", repo)
    await world.call("POST", "/api/v1/services/site/github", {})
    status, made = await world.call("POST", "/api/v1/services/site/previews/policy", policy)
    assert (status, made["is_on"]) == (201, True)
    await world.settle()
    return Pulls(world, service, repo)


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with open_github_world(tmp_path, light="yes") as made:
        yield made


@pytest.fixture
async def pulls(world: World) -> Pulls:
    return await set_up(world)


async def test_a_preview_is_made_deployed_again_and_removed(tmp_path: Path) -> None:
    async with open_github_world(tmp_path) as world:
        pulls = await set_up(world)
        first = pulls.commit(7, "<h1>one</h1>")
        assert await pulls.send(7, "opened", first) == "preview of pull request 7"
        done = await world.run()
        assert (done.status, done.sha, done.trigger.value) == ("LIVE", first, "preview")
        assert "one" in (await world.answer("pr-7-site") or "")
        assert await world.answer("site") is None
        await pulls.settle()
        (comment,) = pulls.comments()
        assert "pr-7-site.localhost" in comment
        assert "is live" in comment

        second = pulls.commit(7, "<h1>two</h1>")
        await pulls.send(7, "synchronize", second)
        await world.run()
        assert "two" in (await world.answer("pr-7-site") or "")
        await pulls.settle()
        (comment,) = pulls.comments()
        assert second[:7] in comment
        states = [one["statuses"][-1]["state"] for one in pulls.repo.deployments.values()]
        assert states == ["success", "success"]
        assert all(one["transient_environment"] for one in pulls.repo.deployments.values())
        _, listed = await world.call("GET", "/api/v1/services/site/previews")
        (shown,) = listed["items"]
        assert (shown["number"], shown["name"], shown["status"]) == (7, "pr-7-site", "ACTIVE")

        reason = await pulls.send(7, "closed", second)
        assert reason == "pull request 7 was closed; its preview goes"
        await world.deploying.reconcile()
        await world.deploying.reconcile()
        await pulls.settle()
        assert await world.answer("pr-7-site") is None
        assert not await Service.filter(name="pr-7-site").exists()
        (comment,) = pulls.comments()
        assert "removed" in comment
        assert {one["statuses"][-1]["state"] for one in pulls.repo.deployments.values()} == {
            "inactive"
        }


async def test_why_there_is_none(pulls: Pulls) -> None:
    sha = pulls.commit(1, "1")
    assert "changes no preview" in await pulls.send(1, "labeled", sha)
    assert "is a draft" in await pulls.send(1, "opened", sha, draft=True)
    base = {"ref": "other", "repo": pulls.repo.shown(pulls.world.github, "[app]")}
    assert "is for `other`" in await pulls.send(1, "opened", sha, base=base)
    await Service.filter(name="site").update(desired=Desired.STOPPED)
    assert "is stopped" in await pulls.send(1, "opened", sha)
    await Service.filter(name="site").update(desired=Desired.RUNNING)
    await pulls.world.call("DELETE", "/api/v1/services/site/previews/policy")
    assert "has no previews" in await pulls.send(1, "opened", sha)
    assert not await Preview.filter(state="open").exists()
    assert await Service.all().count() == 1


async def test_variables_are_shared_if_they_are_for_previews(pulls: Pulls) -> None:
    vault = pulls.world.platform.vault
    await environment.change(
        pulls.service, vault, set={"A": "secret of production", "B": "for previews"},
        scopes={"B": [Scope.RUN, Scope.PREVIEW]},
    )  # fmt: skip

    async def shared(number: int) -> dict[str, str]:
        made = await pulls.get(number)
        assert made is not None
        return await environment.values(made.id, made.environment_version, vault)

    await pulls.send(1, "opened", pulls.commit(1, "1"))
    assert await shared(1) == {"B": "for previews"}
    await environment.change(
        await Service.get(name="site"), vault, set={"C": "new"}, unset=["B"],
        scopes={"C": [Scope.RUN, Scope.PREVIEW]},
    )  # fmt: skip
    await pulls.send(1, "synchronize", pulls.commit(1, "2"))
    assert await shared(1) == {"C": "new"}


FORK = {"repo": {"id": 999_999, "full_name": "eve/site"}}


async def test_forks_get_none_unless_their_author_may_write(world: World) -> None:
    pulls = await set_up(world)
    sha = pulls.commit(1, "1")
    assert "previews of forks are off" in await pulls.send(1, "opened", sha, head=FORK)
    # A fork that is gone is a fork.
    assert "forks are off" in await pulls.send(1, "reopened", sha, head={"repo": None})
    await world.call("POST", "/api/v1/services/site/previews/policy", {"forks": "members"})
    vault = world.platform.vault
    await environment.change(
        pulls.service, vault, set={"B": "x"}, scopes={"B": [Scope.RUN, Scope.PREVIEW]}
    )
    pulls.repo.access |= {"bob": "write", "eve": "read"}
    reason = await pulls.send(1, "synchronize", sha, head=FORK, author="eve")
    assert "from a fork of eve, who may not write" in reason
    assert not await Preview.filter(state="open").exists()
    # Somebody else pushes to the fork from which Bob opened it.
    reason = await pulls.send(
        1, "synchronize", sha, head=FORK, author="bob", sender={"login": "eve"}
    )
    assert "eve, who may not write" in reason
    # GitHub does not say at first who may: it is asked again.
    world.github.fault = lambda request: (
        web.Response(status=502) if "collaborators" in request.path else None
    )
    assert "looked at" in await pulls.send(2, "opened", sha, head=FORK, author="bob")
    world.github.fault = None
    await pulls.later()
    made = await pulls.get(2)
    assert made is not None
    assert (made.source_ref, made.source_trusted) == (sha, False)
    assert await environment.current(made.id, made.environment_version) == {}


async def test_there_is_a_limit_and_a_time(pulls: Pulls) -> None:
    await pulls.world.call(
        "POST", "/api/v1/services/site/previews/policy", {"limit": 2, "hours": 1}
    )
    for number in (1, 2):
        await pulls.send(number, "opened", pulls.commit(number, str(number)))
    assert "has 2 previews already" in await pulls.send(3, "opened", pulls.commit(3, "3"))
    # Those that are there are deployed again all the same.
    assert "preview of" in await pulls.send(2, "synchronize", pulls.commit(2, "more"))
    await Preview.filter(number=1).update(expires_at=utcnow() - timedelta(seconds=1))
    await pulls.later()
    gone = await Preview.get(number=1)
    assert (gone.state.value, gone.reason) == ("closed", "nothing was pushed for a while")
    assert (await Service.get(id=gone.service_id)).desired is Desired.DELETED
    await pulls.send(3, "reopened", pulls.commit(3, "3"))
    assert await pulls.get(3) is not None
    # A person removes one; the next push makes it again, once the old one is gone.
    status, _ = await pulls.world.call("DELETE", "/api/v1/services/site/previews/3")
    assert status == 204
    status, _ = await pulls.world.call("DELETE", "/api/v1/services/site/previews/3")
    assert status == 404
    await Service.filter(name="pr-3-site").delete()
    await pulls.send(3, "synchronize", pulls.commit(3, "4"))
    assert await pulls.get(3) is not None


async def test_an_older_event_that_is_looked_at_later_changes_nothing(pulls: Pulls) -> None:
    sha = pulls.commit(1, "1")
    await pulls.send(1, "opened", sha, settled=False)
    await pulls.send(1, "closed", sha)
    await Delivery.filter(reason__contains="was closed").update(
        created_at=utcnow() + timedelta(seconds=1)
    )
    await Preview.all().update(seen_at=utcnow() + timedelta(seconds=1))
    assert "a newer event" in await pulls.send(1, "synchronize", sha)
    assert await pulls.get(1) is None


async def test_an_event_that_nobody_was_told_of_is_found(pulls: Pulls) -> None:
    """As after a kill -9 right behind the commit of the delivery."""
    sha = pulls.commit(1, "1")
    payload = pulls.world.github.pull(pulls.repo, 1, "opened", sha)
    (told,) = await pulls.world.github.send(pulls.repo, "pull_request", payload)
    from helvetia.kernel.models import Event

    await Event.filter(kind="webhook.received").delete()
    await pulls.later()
    assert await pulls.get(1) is None
    await Delivery.filter(id=told["delivery"]).update(created_at=utcnow() - timedelta(minutes=1))
    await pulls.later()
    assert await pulls.get(1) is not None
    # Looked at twice, it is deployed once.
    await Delivery.filter(id=told["delivery"]).update(verdict="received")
    await pulls.later()
    assert await Deployment.filter(status=DeploymentStatus.QUEUED).count() == 1


async def test_previews_go_with_their_service(pulls: Pulls) -> None:
    await pulls.send(1, "opened", pulls.commit(1, "1"))
    status, refused = await pulls.world.call(
        "POST", "/api/v1/services/pr-1-site/previews/policy", {}
    )
    assert (status, refused["code"]) == (409, "conflict")
    await pulls.world.call("DELETE", "/api/v1/services/site")
    await events.record("service.deleted", service_id=pulls.service.id, name="site")
    await pulls.settle()
    assert (await Service.get(name="pr-1-site")).desired is Desired.DELETED


@pytest.mark.long
@pytest.mark.postgres
async def test_on_postgres(tmp_path: Path, postgres_server: str) -> None:
    name = f"test_{uuid4().hex[:12]}"
    connection = await asyncpg.connect(f"{postgres_server}/postgres")
    await connection.execute(f'CREATE DATABASE "{name}"')
    await connection.close()
    database = {"DATABASE_URL": f"{postgres_server}/{name}"}
    async with open_github_world(tmp_path, light="yes", **database) as world:
        pulls = await set_up(world)
        sha = pulls.commit(1, "1")
        assert await pulls.send(1, "opened", sha) == "preview of pull request 1"
        await pulls.settle()
        assert [one["state"] for one in pulls.repo.statuses[sha]] == ["pending"]
        assert len(pulls.comments()) == 1
        assert "its preview goes" in await pulls.send(1, "closed", sha)
        assert await pulls.get(1) is None
        ((_, hook),) = pulls.repo.hooks.items()
        hook["active"] = False
        await pulls.later()
        assert hook["active"] is True
