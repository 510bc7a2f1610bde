"""Channels over the API and with the command."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from http_support import TOKENS, World, make_home, make_service, open_platform, serve

from helvetia.plugins.notifications.models import Channel, Message

from .conftest import Receiver

HOOK = "https://hooks.example.com/very-secret"


@pytest.fixture(scope="package")
def populated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_home(tmp_path_factory.mktemp("notifications"))


@pytest.fixture
async def world(populated: Path, tmp_path: Path) -> AsyncIterator[World]:
    home = shutil.copytree(populated, tmp_path / "home")
    settings = {"HELVETIA_NOTIFICATIONS_PRIVATE_TARGETS": "true"}
    async with open_platform(home, **settings) as platform, serve(platform) as world:
        yield world


PATH = "/api/v1/teams/ours/notifications"


async def made(world: World, **more: Any) -> dict[str, Any]:
    body = {"name": "ops", "kind": "webhook", "target": HOOK, **more}
    answer = await world.post(PATH, body, who="admin")
    assert answer.status == 201, answer.raw
    found: dict[str, Any] = answer.json
    return found


async def test_a_channel_and_its_secrets(world: World) -> None:
    await make_service()
    channel = await made(world, topics=["crash", "crash"], services=["web"])
    assert channel["secret"].startswith("hvn_")
    assert channel["topics"] == ["crash"]
    listed = await world.get(PATH, who="viewer")
    assert listed.json["items"] == [{**channel, "secret": None}]
    assert b"very-secret" not in listed.raw
    answer = await world.call(
        "PATCH",
        f"{PATH}/{channel['id']}",
        json={"target": "https://a.example/b", "services": []},
        who="admin",
    )
    assert (answer.status, answer.json["services"]) == (200, [])
    answer = await world.call("DELETE", f"{PATH}/{channel['id']}", who="admin")
    assert answer.status == 204
    assert await Channel.all().count() == 0


@pytest.mark.parametrize(
    ("more", "field"),
    [
        ({"kind": "fax"}, "kind"),
        ({"target": "ftp://example.com"}, "target"),
        ({"target": "https://user:word@example.com/"}, "target"),
        ({"target": "https://example.com:99999/"}, "target"),
        ({"kind": "email", "target": "a@b.example, c@d.example"}, "target"),
        ({"kind": "email", "target": "a@b.example\r\nBcc: c@d.example"}, "target"),
        ({"kind": "slack", "secret": "x" * 20}, "secret"),
        ({"topics": []}, "topics"),
        ({"topics": ["everything"]}, "topics"),
        ({"services": ["nobody"]}, "services"),
        ({"name": "a\nb"}, "name"),
    ],
)
async def test_what_is_refused(world: World, more: dict[str, Any], field: str) -> None:
    body = {"name": "ops", "kind": "webhook", "target": HOOK, **more}
    answer = await world.post(PATH, body, who="admin")
    assert answer.status == 422
    assert field in json.dumps(answer.json["errors"])
    assert await Channel.all().count() == 0


async def test_only_admins_of_the_team(world: World) -> None:
    channel = await made(world)
    for method, path in (("POST", ""), ("DELETE", f"/{channel['id']}")):
        body = {"json": {"name": "x", "kind": "webhook", "target": HOOK}} if not path else {}
        assert (await world.call(method, PATH + path, who="member", **body)).status == 403
        assert (await world.call(method, PATH + path, who="stranger", **body)).status == 404
    theirs = f"/api/v1/teams/theirs/notifications/{channel['id']}"
    assert (await world.call("DELETE", theirs, who="stranger")).status == 404


async def test_a_test_tells_what_became_of_it(world: World, receiver: Receiver) -> None:
    channel = await made(world, target=receiver.url)
    answer = await world.call("POST", f"{PATH}/{channel['id']}/test", who="admin")
    assert (answer.status, answer.json["status"]) == (202, "waiting")
    async with asyncio.timeout(20):
        while (await Message.get()).status != "sent":
            await asyncio.sleep(0.02)
    [message] = (await world.get(f"{PATH}/{channel['id']}/messages")).json["items"]
    assert (message["status"], message["attempts"]) == ("sent", 1)
    assert json.loads(receiver.got[0][0])["topic"] == "test"


async def test_the_command(world: World, receiver: Receiver) -> None:
    async def helvetia(*arguments: str, target: str = "") -> tuple[int | None, str, str]:
        environment = {
            **os.environ,
            "HELVETIA_URL": world.url,
            "HELVETIA_TOKEN": TOKENS["admin"],
            "HELVETIA_TARGET": target,
        }
        argv = [sys.executable, "-m", "helvetia.cli", "notifications", *arguments]
        process = await asyncio.create_subprocess_exec(
            *argv, env=environment, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
        )
        out, errors = await asyncio.wait_for(process.communicate(), 60)
        return process.returncode, out.decode(), errors.decode()

    code, out, _ = await helvetia("add", "ops", "--kind", "webhook", target=receiver.url)
    assert code == 0
    assert "hvn_" in out
    id = (await Channel.get()).id
    code, _, errors = await helvetia("test", id)
    assert (code, len(receiver.got)) == (0, 1), errors
    receiver.statuses = [500]
    code, _, errors = await helvetia("test", id)
    assert code == 1
    assert "the other side answers 500" in errors
    code, _, errors = await helvetia("add", "x", "--kind", "email", "--target", "nobody")
    assert code == 2
    assert "must be one e-mail address" in errors
