"""The same API over PostgreSQL: its queries, its locks, its refusals."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from http_support import World, make_release, make_service, open_platform, populate, serve
from pydantic import TypeAdapter
from test_http_policies import CASES, ENDPOINTS, LOWEST, call_endpoint
from webhook_support import SHA, Hook, made

from helvetia import Identity
from helvetia.kernel import accounts
from helvetia.kernel.models import (
    Delivery,
    Deployment,
    Domain,
    Event,
    Service,
    Session,
    User,
    utcnow,
)
from helvetia.plugins.notifications.models import Channel

pytestmark = [
    pytest.mark.postgres,
    pytest.mark.parametrize("database_url", ["postgres"], indirect=True),
]


@pytest.fixture
async def world(database_url: str, tmp_path: Path) -> AsyncIterator[World]:
    async with (
        open_platform(tmp_path / "home", HELVETIA_DATABASE_URL=database_url) as platform,
        serve(platform) as world,
    ):
        await populate()
        yield world


async def test_every_endpoint_works(world: World) -> None:
    for name, endpoint in sorted(ENDPOINTS.items()):
        if name in ("tokens_revoke", "teams_leave"):
            continue
        await Session.all().delete()
        answer = await call_endpoint(world, endpoint, who=LOWEST[endpoint.policy])
        assert answer.status == CASES[name].status, (name, answer.raw)
        if endpoint.result is not None and answer.status < 300:
            TypeAdapter(endpoint.result).validate_json(answer.raw)
        await Service.all().delete()
        await Channel.all().delete()


async def test_a_delivery_that_comes_many_times_at_once_counts_once(world: World) -> None:
    await make_service()
    hook = Hook(world, await made(world))
    sent = await asyncio.gather(*(hook.send(key="one") for _ in range(8)))
    assert sorted(answer.status for answer in sent) == [*[200] * 7, 202]
    assert len({answer.json["deployment"] for answer in sent}) == 1
    assert await Deployment.all().count() == 1


async def test_pushes_at_once_leave_the_same_rows_as_one_after_the_other(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("helvetia.plugins.webhooks.inbox._PRUNED_EVERY", 1)
    await make_service()
    hook = Hook(world, await made(world))
    answers = [await hook.send(), *await asyncio.gather(*(hook.send() for _ in range(7)))]
    answers.append(await hook.send(X_Hub_Signature_256="sha256="))
    assert [answer.status for answer in answers] == [*[202] * 8, 401]
    rows = await Deployment.all().order_by("number")
    assert [row.number for row in rows] == list(range(1, 9))
    assert [row.status for row in rows] == [*["SUPERSEDED"] * 7, "QUEUED"]
    assert all((row.finished_at is None) == (row.status == "QUEUED") for row in rows)
    assert {row.reason_code for row in rows[:-1]} == {"superseded"}
    assert (rows[0].plan, rows[0].receipt, (await Service.get()).deployment_count) == ({}, {}, 8)
    queued = await Event.filter(kind="deployment.queued")
    assert [event.data for event in queued] == [{"action": "deploy"}] * 8
    assert await Event.filter(kind="deployment.superseded", data={}).count() == 7
    kept = await Delivery.filter(verdict="deployed")
    assert {row.deployment_id for row in kept} == {row.id for row in rows}
    assert {row.headers["X-GitHub-Event"] for row in kept} == {"push"}
    assert all(json.loads(bytes(row.body))["after"] == SHA for row in kept)


async def test_what_is_asked_at_once_happens_once(world: World) -> None:
    await make_service()
    headers = {"Idempotency-Key": "k"}
    path = "/api/v1/services/web/deployments"
    asked = await asyncio.gather(*(world.post(path, {}, headers=headers) for _ in range(8)))
    assert sorted(answer.status for answer in asked) == [*[200] * 7, 201]
    new = {"name": "new", "source": "x"}
    created = await asyncio.gather(*(world.post("/api/v1/services", new) for _ in range(5)))
    assert sorted(answer.status for answer in created) == [201, *[409] * 4]
    hostname = {"hostname": "www.example.com"}
    path = "/api/v1/services/web/domains"
    added = await asyncio.gather(*(world.post(path, hostname) for _ in range(5)))
    assert sorted(answer.status for answer in added) == [201, *[409] * 4]


async def test_only_one_becomes_the_first(world: World) -> None:
    people = [Identity(subject=f"p{number}", name="p", may_found=True) for number in range(6)]
    await asyncio.gather(
        *(accounts.user_for_identity("form", one) for one in people), return_exceptions=True
    )
    assert await User.filter(name="p").count() == 1


async def test_pages_of_lists(world: World) -> None:
    hostnames = ["a.example.com", "b.example.com", "c.example.com"]
    for number in range(5):
        service = await make_service(f"s-{number}")
        await make_release(service, 1)
        for hostname in reversed(hostnames):
            await Domain.create(
                service=service, hostname=f"s{number}{hostname}", verified_at=utcnow()
            )
    seen: list[str] = []
    cursor: str | None = ""
    while cursor is not None:
        params = {"limit": "2"} | ({"cursor": cursor} if cursor else {})
        answer = (await world.get("/api/v1/services", params=params)).json
        seen += [item["name"] for item in answer["items"]]
        for item in answer["items"]:
            short = item["name"].replace("-", "")
            assert item["domains"][1:] == [f"{short}{hostname}" for hostname in hostnames]
            assert (item["release"], item["settings"]["limits"]["memory_mb"]) == (1, 512)
        cursor = answer["next"]
    assert seen == [f"s-{number}" for number in range(5)]
