"""The client where the network or the platform misbehaves."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from aiohttp import web
from control_plane import deployment, frame, problem, record, serving

from helvetia import InvalidInput, Unauthenticated
from helvetia.cli.address import Address
from helvetia.cli.following import follow
from helvetia.kernel.errors import NotFound, Unreachable
from helvetia.plugins.api.schemas import NewDeployment

ABOUT = {
    "version": "1", "api_version": 1, "installation": "x", "domain": "localhost", "edge": "x",
}  # fmt: skip


async def test_problem_body_becomes_an_error_with_its_hint() -> None:
    async def answer(request: web.Request) -> web.Response:
        assert request.headers["Authorization"] == "Bearer hv_old"
        errors = [{"field": "name", "message": "too long"}]
        return problem(422, "invalid-input", "no", hint="shorten it", errors=errors)

    async with serving([web.get("/services/{name}", answer)]) as session:
        with pytest.raises(InvalidInput, match="name: too long") as caught:
            await session.api.service("web")
        assert caught.value.hint == "shorten it"


async def test_only_a_missing_service_is_no_error_to_find_service() -> None:
    async def answer(request: web.Request) -> web.Response:
        if request.match_info["name"] == "web":
            return problem(404, "not-found", "there is no service web")
        return problem(500, "internal", "something went wrong")

    async with serving([web.get("/services/{name}", answer)]) as session:
        assert await session.api.find_service("web") is None
        with pytest.raises(NotFound):
            await session.api.service("web")
        with pytest.raises(Exception, match="something went wrong"):
            await session.api.find_service("other")


async def test_a_foreign_server_is_named() -> None:
    async def answer(request: web.Request) -> web.Response:
        return web.Response(text="<h1>Welcome to nginx</h1>", content_type="text/html")

    async with serving([web.get("", answer)]) as session:
        with pytest.raises(Unreachable, match="is not Helvetia"):
            await session.api.about()


async def test_a_deployment_is_asked_for_again_with_the_same_key_when_the_line_breaks() -> None:
    keys: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        keys.append(request.headers["Idempotency-Key"])
        if len(keys) == 1:
            assert request.transport is not None
            request.transport.abort()
        return web.json_response(deployment("QUEUED"), status=201)

    async with serving([web.post("/services/web/deployments", answer)]) as session:
        made = await session.api.deploy("web", NewDeployment(), key="k1")
    assert made.number == 3
    assert keys == ["k1", "k1"]


async def test_what_is_not_idempotent_is_not_repeated() -> None:
    calls = 0

    async def answer(request: web.Request) -> web.Response:
        nonlocal calls
        calls += 1
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    async with serving([web.post("/services/web/start", answer)]) as session:
        with pytest.raises(Unreachable, match="broke"):
            await session.api.start("web")
    assert calls == 1


async def test_waits_when_it_asked_too_often() -> None:
    calls = 0

    async def answer(request: web.Request) -> web.Response:
        nonlocal calls
        calls += 1
        if calls == 1:
            return web.Response(status=429, headers={"Retry-After": "0"})
        return web.json_response(ABOUT)

    async with serving([web.get("", answer)]) as session:
        assert (await session.api.about()).version == "1"
    assert calls == 2


async def test_a_restarted_platform_has_another_token() -> None:
    found: list[Address] = []

    async def answer(request: web.Request) -> web.Response:
        if request.headers["Authorization"] != "Bearer hv_new":
            return problem(401, "unauthenticated", "the token is not valid")
        return web.json_response(ABOUT)

    async with serving([web.get("", answer)], renew=lambda: found[0]) as session:
        found.append(session.address)
        with pytest.raises(Unauthenticated, match="not valid"):
            await session.api.about()
        found[0] = replace(session.address, token="hv_new")
        assert (await session.api.about()).version == "1"
        # A token is never taken to another address than the one it was written for.
        session.api.client.address = session.address
        found[0] = Address(url="http://127.0.0.1:1", token="hv_new")
        with pytest.raises(Unauthenticated):
            await session.api.about()


async def test_a_token_that_never_becomes_valid_is_told_in_the_end() -> None:
    asked = 0

    async def answer(_: web.Request) -> web.Response:
        nonlocal asked
        asked += 1
        return problem(401, "unauthenticated", "the token is not valid")

    def renew() -> Address:
        return replace(session.address, token=f"hv_{asked}")

    async with serving([web.get("", answer)], renew=renew) as session:
        with pytest.raises(Unauthenticated, match="not valid"):
            await session.api.about()
    assert asked == 4


async def test_of_two_requests_at_once_both_take_the_new_token() -> None:
    found: list[Address] = []
    refused = asyncio.Barrier(2)

    async def answer(request: web.Request) -> web.Response:
        if request.headers["Authorization"] != "Bearer hv_new":
            # Neither is told before both have asked.
            await refused.wait()
            return problem(401, "unauthenticated", "the token is not valid")
        return web.json_response(ABOUT)

    async with serving([web.get("", answer)], renew=lambda: found[0]) as session:
        found.append(replace(session.address, token="hv_new"))
        told = await asyncio.gather(session.api.about(), session.api.about())
    assert [one.version for one in told] == ["1", "1"]


async def test_pages_are_gathered_up_to_the_limit() -> None:
    asked: list[dict[str, str]] = []

    async def answer(request: web.Request) -> web.Response:
        asked.append(dict(request.query))
        start = int(request.query.get("cursor", "0"))
        items = [deployment("LIVE", number=start + n + 1) for n in range(100)]
        items = items[: int(request.query["limit"])]
        return web.json_response({"items": items, "next": str(start + len(items))})

    async with serving([web.get("/services/web/deployments", answer)]) as session:
        found = await session.api.deployments("web", limit=120)
    assert [one.number for one in found] == list(range(1, 121))
    assert asked == [{"limit": "100"}, {"limit": "20", "cursor": "100"}]


async def test_names_stay_one_part_of_the_path() -> None:
    async def answer(request: web.Request) -> web.Response:
        return problem(404, "not-found", request.rel_url.raw_path)

    async with serving([web.get("/{rest:.*}", answer)]) as session:
        with pytest.raises(NotFound, match=r"^/api/v1/services/a%2F\.\.%2Fb%3Fc$"):
            await session.api.service("a/../b?c")


async def test_a_log_goes_on_behind_the_exact_record_after_a_cut() -> None:
    asked: list[int] = []

    async def answer(request: web.Request) -> web.WebSocketResponse:
        asked.append(int(request.query["after"]))
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        if len(asked) == 1:
            await socket.send_json(frame(record(1), record(2)))
            await socket.send_json(frame(record(3)))
            assert request.transport is not None
            request.transport.abort()
        elif len(asked) == 2:
            # An overlap, as after a cut between storing and sending.
            await socket.send_json(frame(record(3), record(4)))
            await socket.close()
        else:
            await socket.send_json(frame(record(9), skipped=4))
            await socket.send_json({"ended": True, "status": "LIVE"})
        return socket

    async with serving([web.get("/deployments/x/logs/follow", answer)]) as session:
        pieces = [piece async for piece in follow(session.api, "/deployments/x")]
    assert [one.seq for piece in pieces for one in piece.records] == [1, 2, 3, 4, 9]
    assert sum(piece.skipped for piece in pieces) == 4
    assert pieces[-1].ended
    assert asked == [0, 3, 4]


async def test_a_log_is_read_by_pages_where_no_socket_gets_through() -> None:
    sockets = 0

    async def no_socket(request: web.Request) -> web.Response:
        nonlocal sockets
        sockets += 1
        return web.Response(status=502, text="bad gateway")

    async def page(request: web.Request) -> web.Response:
        after = int(request.query["after"])
        records = [record(seq) for seq in range(after + 1, min(after + 3, 6))]
        ended = after + len(records) >= 5
        return web.json_response({"records": records, "last": after + len(records), "ended": ended})

    routes = [
        web.get("/deployments/x/logs/follow", no_socket),
        web.get("/deployments/x/logs", page),
    ]
    async with serving(routes) as session:
        pieces = [piece async for piece in follow(session.api, "/deployments/x", after=1)]
    assert [one.seq for piece in pieces for one in piece.records] == [2, 3, 4, 5]
    assert sockets == 3


async def test_the_log_of_an_instance_is_followed_by_its_id() -> None:
    async def no_socket(request: web.Request) -> web.Response:
        assert request.query["instance"] == "7f2a"
        return web.Response(status=502, text="bad gateway")

    async def page(request: web.Request) -> web.Response:
        assert request.query["instance"] == "7f2a"
        # The others wrote what lies between: their numbers are no gaps.
        after = int(request.query["after"])
        found = [record(seq) for seq in (3, 8) if seq > after][:1]
        last = found[0]["seq"] if found else 9
        return web.json_response({"records": found, "last": last, "ended": last == 9})

    routes = [
        web.get("/services/x/logs/follow", no_socket),
        web.get("/services/x/logs", page),
    ]
    async with serving(routes) as session:
        pieces = [piece async for piece in follow(session.api, "/services/x", instance="7f2a")]
    assert [one.seq for piece in pieces for one in piece.records] == [3, 8]
    assert sum(piece.skipped for piece in pieces) == 0


async def test_a_log_that_may_not_be_read_is_an_error_not_a_wait() -> None:
    async def answer(request: web.Request) -> web.Response:
        return problem(404, "not-found", "there is no deployment x")

    async with serving([web.get("/{rest:.*}", answer)]) as session, asyncio.timeout(10):
        with pytest.raises(NotFound):
            async for _ in follow(session.api, "/deployments/x"):
                pass
