"""Scopes of variables, and what the next deployment changes."""

from __future__ import annotations

from typing import Any

import pytest
from http_support import World, make_release, make_service

from helvetia.kernel.models import Release, Service

_PATH = "/api/v1/services/web/environment"


async def _change(world: World, **body: Any) -> dict[str, list[str]]:
    answer = await world.call("PATCH", _PATH, json=body)
    assert answer.status == 200, answer.raw
    return {one["name"]: one["scopes"] for one in answer.json["items"]}


async def test_scopes_are_shown_kept_and_changed(world: World) -> None:
    await make_service()
    assert await _change(world, set={"A": "1", "B": "2"}, scopes={"B": ["run"]}) == {
        "A": ["build", "run"],
        "B": ["run"],
    }
    assert await _change(world, set={"B": "3"}, scopes={"A": ["preview", "build", "build"]}) == {
        "A": ["build", "preview"],
        "B": ["run"],
    }
    shown = (await world.get(_PATH, who="viewer")).json["items"]
    assert [(one["name"], one["version"]) for one in shown] == [("A", 2), ("B", 2)]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"set": {"A": "1"}, "scopes": {"A": []}}, "scopes.A"),
        ({"set": {"A": "1"}, "scopes": {"A": ["preview"]}}, "scopes.A"),
        ({"set": {"A": "1"}, "scopes": {"A": ["everywhere"]}}, "scopes.A.0"),
        ({"set": {"A": "1"}, "scopes": {"B": ["run"]}}, "scopes.B"),
        ({"set": {"A": "1"}, "scopes": {"B C": ["run"]}}, "scopes.B C"),
        ({"scopes": {"A": ["run"]}}, "scopes.A"),
        ({"set": {"PORT": "1"}, "scopes": {"PORT": ["run"]}}, "set.PORT"),
    ],
)
async def test_a_wrong_scope_is_named_and_changes_nothing(
    world: World, body: dict[str, Any], field: str
) -> None:
    await make_service()
    answer = await world.call("PATCH", _PATH, json=body)
    assert (answer.status, answer.fields()) == (422, {field})
    assert (await Service.get(name="web")).environment_version == 0


async def test_the_difference_to_the_live_release_by_names_alone(world: World) -> None:
    service = await make_service()
    await _change(world, set={"KEPT": "value-1", "CHANGED": "value-2", "GONE": "value-3"})
    assert (await world.get(f"{_PATH}/diff", who="viewer")).json == {
        "release": None, "release_version": 0, "version": 1,
        "added": ["CHANGED", "GONE", "KEPT"], "changed": [], "removed": [],
    }  # fmt: skip
    release = await make_release(service, 1)
    await Release.filter(id=release.id).update(environment_version=1)
    await _change(world, set={"CHANGED": "value-4", "NEW": "value-5"}, unset=["GONE"])
    answer = await world.get(f"{_PATH}/diff", who="viewer")
    assert answer.json == {
        "release": 1, "release_version": 1, "version": 2,
        "added": ["NEW"], "changed": ["CHANGED"], "removed": ["GONE"],
    }  # fmt: skip
    assert b"value-" not in answer.raw
