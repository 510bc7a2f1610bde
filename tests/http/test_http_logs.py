"""Logs in pages, and followed over a WebSocket."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import aiohttp
import pytest
from http_support import TOKENS, World, make_deployment, make_service, sign_in

from helvetia.kernel.http.context import CONTEXT
from helvetia.kernel.models import (
    Deployment,
    DeploymentStatus,
    Membership,
    Service,
    Token,
    utcnow,
)
from helvetia.kernel.secrets import digest
from helvetia.logs import LogRecord


def records(first: int, last: int) -> list[LogRecord]:
    return [LogRecord(seq, 1.5, "stdout", "build", f"line {seq}") for seq in range(first, last + 1)]


async def append(world: World, log: str, first: int, last: int) -> None:
    await world.platform.logs.append(log, records(first, last))
    world.platform.hub.notify(log)


@pytest.fixture
async def deployment(world: World) -> Deployment:
    service = await make_service()
    return await make_deployment(service, 1, status=DeploymentStatus.RUNNING)


async def test_a_log_in_pages(world: World, deployment: Deployment) -> None:
    path, log = f"/api/v1/deployments/{deployment.id}/logs", f"deployment:{deployment.id}"
    empty = (await world.get(path)).json
    assert empty == {"records": [], "last": 0, "skipped": 0, "ended": False}
    await append(world, log, 1, 10)
    await append(world, log, 11, 20)
    page = (await world.get(f"{path}?limit=15")).json
    assert [one["seq"] for one in page["records"]] == list(range(1, 16))
    assert page["records"][0] == {
        "seq": 1, "time": 1.5, "stream": "stdout", "stage": "build", "text": "line 1",
    }  # fmt: skip
    assert (page["last"], page["ended"]) == (15, False)
    await Deployment.filter(id=deployment.id).update(status=DeploymentStatus.LIVE)
    page = (await world.get(f"{path}?limit=3&after=15")).json
    assert (page["last"], page["ended"]) == (18, False)
    page = (await world.get(f"{path}?after=18")).json
    assert (page["last"], page["ended"]) == (20, True)
    page = (await world.get(f"{path}?after=20")).json
    assert (page["records"], page["last"], page["ended"]) == ([], 20, True)
    page = (await world.get(f"{path}?tail=2")).json
    assert [one["seq"] for one in page["records"]] == [19, 20]
    assert page["ended"]


async def test_a_log_is_not_over_while_its_worker_holds_the_service(
    world: World, deployment: Deployment
) -> None:
    await Deployment.filter(id=deployment.id).update(status=DeploymentStatus.FAILED, fence=3)
    service = Service.filter(id=deployment.service_id)
    await service.update(fence=3, lease_owner="w", lease_until=utcnow() + timedelta(minutes=1))
    path = f"/api/v1/deployments/{deployment.id}/logs"
    assert (await world.get(path)).json["ended"] is False
    await service.update(fence=4)
    assert (await world.get(path)).json["ended"] is True


async def test_trimmed_records_are_told(world: World, deployment: Deployment) -> None:
    log = f"service:{deployment.service_id}"
    await append(world, log, 1, 10)
    await append(world, log, 11, 20)
    await world.platform.logs.trim(log, 1)
    page = (await world.get("/api/v1/services/web/logs?after=2")).json
    assert (page["records"][0]["seq"], page["skipped"]) == (11, 8)


async def test_no_list_holds_the_text_of_a_log(world: World, deployment: Deployment) -> None:
    marker = "a line that only the log may show"
    where = [f"deployment:{deployment.id}", f"service:{deployment.service_id}"]
    for log in where:
        record = LogRecord(1, 1.5, "stdout", "build", marker)
        await world.platform.logs.append(log, [record])
    for path in ("services", "services/web/deployments", "services/web/events"):
        answer = await world.get(f"/api/v1/{path}")
        assert answer.status == 200
        assert marker.encode() not in answer.raw, path
    # It is there, though: the look above was no look at an empty log.
    for path in (f"deployments/{deployment.id}", "services/web"):
        assert marker.encode() in (await world.get(f"/api/v1/{path}/logs")).raw


async def test_following_from_the_beginning_to_the_end(
    world: World, deployment: Deployment
) -> None:
    path, log = f"/api/v1/deployments/{deployment.id}/logs/follow", f"deployment:{deployment.id}"
    await append(world, log, 1, 3)
    async with _follow(world, path) as socket:
        assert _seqs(await _frame(socket)) == [1, 2, 3]
        await append(world, log, 4, 5)
        assert _seqs(await _frame(socket)) == [4, 5]
        await append(world, log, 6, 6)
        await Deployment.filter(id=deployment.id).update(status=DeploymentStatus.LIVE)
        world.platform.hub.notify(log)
        assert _seqs(await _frame(socket)) == [6]
        assert await _frame(socket) == {"ended": True, "status": "LIVE"}
        assert (await socket.receive(10)).type is aiohttp.WSMsgType.CLOSE
        assert socket.close_code == 1000


async def test_resuming_repeats_and_misses_nothing(world: World, deployment: Deployment) -> None:
    path, log = f"/api/v1/deployments/{deployment.id}/logs/follow", f"deployment:{deployment.id}"
    seen: list[int] = []
    await append(world, log, 1, 5)
    while len(seen) < 35:
        # Goes away in the middle of things, every time, and forgets what came last.
        async with _follow(world, f"{path}?after={max(seen, default=0)}") as socket:
            got = _seqs(await _frame(socket))
        seen += got[: max(1, len(got) - 2)]
        if (last := await world.platform.logs.last_seq(log)) < 35:
            await append(world, log, last + 1, last + 5)
    assert seen == list(range(1, 36))


async def test_following_a_service_until_it_is_deleted(
    world: World, deployment: Deployment
) -> None:
    log = f"service:{deployment.service_id}"
    await append(world, log, 1, 20)
    async with _follow(world, "/api/v1/services/web/logs/follow?after=19") as socket:
        assert _seqs(await _frame(socket)) == [20]
        await Deployment.all().delete()
        await Service.filter(name="web").delete()
        assert await _frame(socket) == {"ended": True, "status": "DELETED"}


async def test_the_log_of_one_instance(world: World, deployment: Deployment) -> None:
    log, path = f"service:{deployment.service_id}", "/api/v1/services/web/logs"
    store = world.platform.logs

    async def write(first: int, last: int) -> None:
        await store.append(log, [
            LogRecord(seq, 1.5, "stdout", f"r1.{'aaaa' if seq % 3 else 'bbbb'}", f"line {seq}")
            for seq in range(first, last + 1)
        ])  # fmt: skip
        world.platform.hub.notify(log)

    for first in range(1, 3000, 500):
        await write(first, first + 499)

    async def page(query: str) -> dict[str, Any]:
        answer = await world.get(f"{path}?instance={query}")
        assert answer.status == 200
        shown: dict[str, Any] = answer.json
        return shown

    found = await page("bbbb&limit=400")
    assert _seqs(found) == list(range(3, 1201, 3))
    assert found["last"] == 1200
    rest = await page(f"bbbb0123456789ab&after={found['last']}&limit=5000")
    assert _seqs(rest) == list(range(1203, 3001, 3))
    assert rest["last"] == 3000
    # What nobody wrote ends where the log does, so that whoever asks gets on.
    assert await page("cccc") == {"records": [], "last": 3000, "skipped": 0, "ended": False}
    assert _seqs(await page("bbbb&tail=700")) == list(range(903, 3001, 3))
    assert (await page("bbbb&tail=2"))["last"] == 3000
    assert (await world.get(f"{path}?instance=nobody")).status == 422
    other = f"/api/v1/deployments/{deployment.id}/logs?instance=bbbb"
    assert (await world.get(other)).status == 422, "a build has no instances"

    await store.trim(log, 1)
    gone = await page("bbbb&limit=1")
    assert (gone["records"][0]["seq"], gone["skipped"]) == (2502, 2500)
    assert _seqs(await page("bbbb&tail=700")) == list(range(2502, 3001, 3))
    async with _follow(world, f"{path}/follow?after=2996&instance=bbbb") as socket:
        assert _seqs(await _frame(socket)) == [2997, 3000]
        await write(3001, 3001)
        await write(3002, 3005)
        assert _seqs(await _frame(socket)) == [3003]


async def test_many_follow_and_leave_nothing_behind(world: World, deployment: Deployment) -> None:
    path, log = f"/api/v1/deployments/{deployment.id}/logs/follow", f"deployment:{deployment.id}"
    sockets = [await _follow(world, path) for _ in range(10)]
    await append(world, log, 1, 5)
    for socket in sockets:
        assert _seqs(await _frame(socket)) == [1, 2, 3, 4, 5]
        await socket.close()
    context = world.runner.app[CONTEXT]
    async with asyncio.timeout(10):
        while world.platform.hub.followers or context.sockets:
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("loss", ["token", "membership"])
async def test_who_loses_the_right_is_sent_away(
    world: World, deployment: Deployment, monkeypatch: pytest.MonkeyPatch, loss: str
) -> None:
    monkeypatch.setattr("helvetia.plugins.api.sockets.READMIT_SECONDS", 0.1)
    async with _follow(world, f"/api/v1/deployments/{deployment.id}/logs/follow") as socket:
        if loss == "token":
            await Token.filter(digest=digest(TOKENS["owner"])).update(revoked_at=utcnow())
        else:
            await Membership.filter(user__name="owner").delete()
        message = await socket.receive(10)
        assert (message.type, message.data) == (aiohttp.WSMsgType.CLOSE, 1008)
        assert message.extra == ("unauthenticated" if loss == "token" else "not-found")


async def test_who_does_not_read_is_cut_off(
    world: World, deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("helvetia.plugins.api.sockets.STALL_SECONDS", 0.3)
    log = f"deployment:{deployment.id}"
    long = "x" * 60_000
    for part in range(40):
        first = part * 5 + 1
        await world.platform.logs.append(
            log, [LogRecord(first + n, 1.0, "stdout", "", long) for n in range(5)]
        )
    host, port = world.runner.addresses[0][:2]
    reader, writer = await asyncio.open_connection(host, port, limit=1024)
    writer.write(
        f"GET /api/v1/deployments/{deployment.id}/logs/follow HTTP/1.1\r\nHost: {host}:{port}\r\n"
        f"Authorization: Bearer hv_owner\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n\r\n".encode()
    )
    assert b" 101 " in await reader.readline()
    context = world.runner.app[CONTEXT]
    async with asyncio.timeout(20):
        while not context.sockets:
            await asyncio.sleep(0.02)
        while context.sockets or world.platform.hub.followers:
            await asyncio.sleep(0.02)
    writer.transport.abort()


async def test_the_end_of_the_platform_does_not_wait_for_followers(
    world: World, deployment: Deployment
) -> None:
    path = f"/api/v1/deployments/{deployment.id}/logs/follow"
    sockets = [await _follow(world, path) for _ in range(3)]
    began = time.monotonic()
    _, *codes = await asyncio.gather(
        world.runner.cleanup(), *(_close_code(socket) for socket in sockets)
    )
    assert time.monotonic() - began < 3
    assert codes == [1001, 1001, 1001]


@pytest.mark.parametrize(
    ("origin", "status"),
    [("OWN", 101), (None, 101), ("null", 403), ("http://evil.example", 403), ("OWN.evil", 403)],
)
async def test_a_socket_by_cookie_is_for_our_own_pages(
    world: World, deployment: Deployment, origin: str | None, status: int
) -> None:
    cookie, _ = await sign_in(world)
    headers = {"Cookie": cookie}
    if origin is not None:
        headers["Origin"] = origin.replace("OWN", world.url)
    path = f"{world.url}/api/v1/deployments/{deployment.id}/logs/follow"
    try:
        async with world.session.ws_connect(path, headers=headers):
            got = 101
    except aiohttp.WSServerHandshakeError as error:
        got = error.status
    assert got == status


@pytest.mark.parametrize(("who", "status"), [(None, 401), ("stranger", 404)])
async def test_a_socket_is_not_for_everybody(
    world: World, deployment: Deployment, who: str | None, status: int
) -> None:
    for path in (f"deployments/{deployment.id}", "services/web"):
        with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
            await _follow(world, f"/api/v1/{path}/logs/follow", who=who)
        assert caught.value.status == status


async def test_a_socket_is_no_page(world: World, deployment: Deployment) -> None:
    answer = await world.get(f"/api/v1/deployments/{deployment.id}/logs/follow")
    assert (answer.status, answer.json["code"]) == (400, "bad-request")


class _follow:
    """A WebSocket, as a context or to be awaited."""

    def __init__(self, world: World, path: str, who: str | None = "owner") -> None:
        headers = {"Authorization": f"Bearer {TOKENS[who]}"} if who else {}
        self._opening = world.session.ws_connect(world.url + path, headers=headers)

    def __await__(self) -> Iterator[Any]:
        return self._opening.__await__()

    async def __aenter__(self) -> aiohttp.ClientWebSocketResponse:
        return await self._opening.__aenter__()

    async def __aexit__(self, *error: Any) -> None:
        await self._opening.__aexit__(*error)


async def _frame(socket: aiohttp.ClientWebSocketResponse) -> dict[str, Any]:
    frame: dict[str, Any] = json.loads(await socket.receive_str(timeout=15))
    return frame


def _seqs(frame: dict[str, Any]) -> list[int]:
    assert frame["skipped"] == 0
    return [record["seq"] for record in frame["records"]]


async def _close_code(socket: aiohttp.ClientWebSocketResponse) -> int | None:
    async for _ in socket:
        pass
    return socket.close_code
