"""Variables that the services of a team share, and those that a service sets itself."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from http_support import World, make_deployment, make_service, open_platform, populate, serve

from helvetia.kernel import environment
from helvetia.kernel.models import Event, Scope, Service, Team, Trigger
from helvetia.plugins.api.models import SharedPlacement, SharedVariable

OURS = "/api/v1/teams/ours/environment"


@pytest.fixture
async def either(database_url: str, tmp_path: Path) -> AsyncIterator[World]:
    """The same over SQLite and PostgreSQL."""
    async with (
        open_platform(tmp_path / "home", HELVETIA_DATABASE_URL=database_url) as platform,
        serve(platform) as world,
    ):
        await populate()
        yield world


async def change(world: World, path: str = OURS, who: str = "admin", **body: Any) -> int:
    return (await world.call("PATCH", path, json=body, who=who)).status


async def values(world: World, name: str, *scopes: Scope) -> dict[str, str]:
    service = await Service.get(name=name)
    version = service.environment_version
    return await environment.values(service.id, version, world.platform.vault, *scopes)


async def test_all_services_get_them_and_their_own_win(world: World) -> None:
    for name in ("one", "two"):
        await make_service(name)
    theirs = await Team.get(name="theirs")
    await make_service("other", team_id=theirs.id)
    path = "/api/v1/services/two/environment"
    assert await change(world, path, set={"GREETING": "own"}) == 200
    assert await change(world, set={"GREETING": "hello", "KEY": "s3cr3t-value"}) == 200
    assert await values(world, "one") == {"GREETING": "hello", "KEY": "s3cr3t-value"}
    assert await values(world, "two") == {"GREETING": "own", "KEY": "s3cr3t-value"}
    assert await values(world, "other") == {}
    # A service that is made later has them, and its own win from the beginning.
    new = {"name": "three", "source": "https://git.example/a.git", "team": "ours"}
    new_own: dict[str, Any] = {**new, "environment": {"KEY": "mine"}}
    assert (await world.post("/api/v1/services", new_own, who="member")).status == 201
    assert await values(world, "three") == {"GREETING": "hello", "KEY": "mine"}
    listed = (await world.get("/api/v1/services/two/environment", who="viewer")).json["items"]
    assert {one["name"]: one["is_shared"] for one in listed} == {"GREETING": False, "KEY": True}

    assert await change(world, set={"GREETING": "hi"}, scopes={"KEY": ["run"]}) == 200
    assert (await values(world, "one"))["GREETING"] == "hi"
    assert (await values(world, "two"))["GREETING"] == "own"
    assert await values(world, "one", Scope.BUILD) == {"GREETING": "hi"}
    # What a service takes for itself is its own from then on.
    path = "/api/v1/services/one/environment"
    assert await change(world, path, set={"KEY": "mine now"}) == 200
    assert await change(world, unset=["KEY", "GREETING"]) == 200
    assert await values(world, "one") == {"KEY": "mine now"}
    assert await values(world, "two") == {"GREETING": "own"}
    assert await values(world, "three") == {"KEY": "mine"}
    assert not await SharedVariable.exists()


async def test_they_are_never_told(world: World) -> None:
    await make_service()
    await change(world, set={"KEY": "s3cr3t-value"})
    answers = [
        await world.get(path)
        for path in (OURS, "/api/v1/services/web/environment", "/api/v1/audit")
    ]
    (row,) = await SharedVariable.all()
    said = [answer.raw.decode() for answer in answers]
    said += [row.value, *(repr(one.data) for one in await Event.all())]
    assert "s3cr3t-value" not in " ".join(said)
    assert [one["name"] for one in answers[0].json["items"]] == ["KEY"]
    # Sealed to its place: moved to another name it opens nothing.
    await SharedVariable.all().update(name="OTHER")
    status = (await world.call("PATCH", OURS, json={"scopes": {"OTHER": ["run"]}})).status
    assert status == 500


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "set"),
        ({"set": {"PORT": "1"}}, "set.PORT"),
        ({"set": {"HELVETIA_X": "1"}}, "set.HELVETIA_X"),
        ({"set": {"A": "a\0b"}}, "set.A"),
        ({"set": {"A B": "1"}}, "set.A B"),
        ({"unset": ["NONE"]}, "unset.NONE"),
        ({"set": {"A": "1"}, "unset": ["A"]}, "set.A"),
        ({"scopes": {"NONE": ["run"]}}, "scopes.NONE"),
        ({"set": {"A": "1"}, "scopes": {"A": []}}, "scopes.A"),
    ],
)
async def test_what_is_refused_changes_nothing(
    world: World, body: dict[str, Any], field: str
) -> None:
    await make_service()
    answer = await world.call("PATCH", OURS, json=body)
    assert (answer.status, answer.fields()) == (422, {field})
    assert not await SharedVariable.exists()
    assert await values(world, "web") == {}


async def test_previews_get_what_is_for_previews_only(world: World) -> None:
    """By the service they are of: strangers' code has no variables."""
    service, preview = await make_service(), await make_service("pr-7-web")
    await make_deployment(preview, 1, trigger=Trigger.PREVIEW)
    assert await change(world, set={"KEY": "value"}) == 200
    assert await values(world, "web") == {"KEY": "value"}
    assert await values(world, "pr-7-web") == {}
    assert await SharedPlacement.filter(service_id=service.id).count() == 1


async def test_changes_at_once_end_in_one_of_them(either: World) -> None:
    world = either
    for name in ("one", "two"):
        await make_service(name)
    wanted = [change(world, set={"KEY": f"value-{number}"}) for number in range(4)]
    assert set(await asyncio.gather(*wanted)) == {200}
    (first, second) = [await values(world, name) for name in ("one", "two")]
    assert first == second
    row = await SharedVariable.get()
    place = f"shared/{row.team_id}/KEY"
    assert first == {"KEY": world.platform.vault.decrypt(row.value, place=place)}
