"""Sockets stay open for as long as their callers have the right to them, at little cost."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import aiohttp
import pytest
from http_support import TOKENS, World, make_deployment, make_service, sign_in, user

from helvetia.cli.doorbell import RIGHTS, Doorbell
from helvetia.cli.server import Server
from helvetia.kernel.http import serve
from helvetia.kernel.models import DeploymentStatus, Token
from helvetia.plugins.api import rights
from helvetia.plugins.brokers.redis.provider import RedisBroker
from tests.redis_server import running_redis

_EVERY = "helvetia.plugins.api.sockets.READMIT_SECONDS"


@pytest.fixture
async def path(world: World) -> str:
    made = await make_deployment(await make_service(), 1, status=DeploymentStatus.RUNNING)
    return f"{world.url}/api/v1/deployments/{made.id}/logs/follow"


def by(who: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {TOKENS[who]}"}


async def close_of(socket: aiohttp.ClientWebSocketResponse) -> tuple[int | None, object]:
    message = await socket.receive(60)
    assert message.type is aiohttp.WSMsgType.CLOSE
    return message.data, message.extra


async def test_many_with_one_credential_are_one_question(
    world: World, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pause, crowd, looks = 0.1, 12, 6
    monkeypatch.setattr(_EVERY, pause)
    sockets = [await world.session.ws_connect(path, headers=by("owner")) for _ in range(crowd)]
    asked: list[float] = []
    monkeypatch.setattr(serve, "_admit", _noting(serve._admit, asked))
    async with asyncio.timeout(60):
        while len(asked) < looks:
            await asyncio.sleep(0.01)
    # Each for itself, they would have asked so often within one pause.
    assert asked[looks - 1] - asked[0] > (looks - 2) * pause
    # The one that is asked for goes away; the others are still looked after.
    for socket in sockets[: crowd // 2]:
        await socket.close()
    await Token.filter(user__name="owner").delete()
    for socket in sockets[crowd // 2 :]:
        assert await close_of(socket) == (1008, "unauthenticated")


def _noting(admit: Any, asked: list[float]) -> Any:
    async def noted(*arguments: Any) -> Any:
        asked.append(time.monotonic())
        return await admit(*arguments)

    return noted


@pytest.mark.parametrize("loss", ["token", "membership", "session", "all sessions"])
async def test_what_this_process_ends_is_over_at_once(
    world: World, path: str, monkeypatch: pytest.MonkeyPatch, loss: str
) -> None:
    monkeypatch.setattr(_EVERY, 3600)
    cookie, session = await sign_in(world, "anna", invited="1")
    await _make_operator(session.user_id)
    headers = {"Cookie": cookie, "Origin": world.url}
    lost = by("member") if loss in ("token", "membership") else headers
    async with (
        world.session.ws_connect(path, headers=lost) as one,
        world.session.ws_connect(path, headers=by("viewer")) as other,
    ):
        csrf = {"Cookie": cookie, "Origin": world.url, "X-CSRF-Token": session.csrf}
        if loss == "token":
            row = await Token.get(user__name="member")
            ended = await world.call("DELETE", f"/api/v1/tokens/{row.id}", who="member")
        elif loss == "membership":
            member = await user("member")
            ended = await world.call("DELETE", f"/api/v1/teams/ours/members/{member.id}")
        else:
            which = f"/{session.id}" if loss == "session" else ""
            ended = await world.call("DELETE", f"/api/v1/sessions{which}", who=None, headers=csrf)
        assert ended.status in (200, 204), ended.raw
        code = "not-found" if loss == "membership" else "unauthenticated"
        assert await close_of(one) == (1008, code)
        # Whoever keeps the right notices nothing.
        with pytest.raises(TimeoutError):
            await other.receive(0.2)


async def test_what_another_process_ends_is_over_as_soon_as_it_is_heard_of(
    world: World, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_EVERY, 3600)
    told: list[str] = []
    monkeypatch.setattr(rights, "relay", lambda: told.append(RIGHTS))
    row = await Token.get(user__name="viewer")
    ended = await world.call("DELETE", f"/api/v1/tokens/{row.id}", who="viewer")
    assert (ended.status, told) == (204, [RIGHTS])

    with running_redis() as redis:
        here, there = (Doorbell(RedisBroker(redis.url, prefix="helvetia:rights")) for _ in "ab")
        server = Server(world.platform.settings, say=told.append, working=False)
        await here.start(told=server._told)
        try:
            async with world.session.ws_connect(path, headers=by("member")) as socket:
                # As another process does it, of which this one sees the database alone.
                await Token.filter(user__name="member").delete()
                closing = asyncio.create_task(close_of(socket))
                async with asyncio.timeout(60):
                    while not closing.done():
                        # Nobody may be listening yet.
                        there.tell(RIGHTS)
                        await asyncio.wait({closing}, timeout=0.1)
                assert await closing == (1008, "unauthenticated")
        finally:
            await here.stop()
            await there.stop()


async def _make_operator(user_id: str) -> None:
    from helvetia.kernel.models import User

    await User.filter(id=user_id).update(is_operator=True)
