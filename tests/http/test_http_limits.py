"""How often an address may ask, who counts as that address, and what happens without Redis."""

from __future__ import annotations

import asyncio
import shutil
import socket
import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from http_support import Answer, World, make_service, open_platform, serve
from limits import parse

from helvetia.kernel.errors import SettingsError
from helvetia.kernel.settings import KernelSettings
from helvetia.plugins.limits.counting import Counters
from helvetia.plugins.limits.settings import LimitsSettings
from tests.redis_server import RedisServer, running_redis

MakeWorld = Callable[..., AbstractAsyncContextManager[World]]
LONG = "/hour"  # no window ends while a test runs


@pytest.fixture
def make_world(migrated: Path, tmp_path: Path) -> MakeWorld:
    numbers = count()

    @asynccontextmanager
    async def make(**environment: str) -> Any:
        home = tmp_path / f"home-{next(numbers)}"
        shutil.copytree(migrated, home)
        settings = {f"HELVETIA_{name.upper()}": value for name, value in environment.items()}
        async with open_platform(home, **settings) as platform, serve(platform) as world:
            yield world

    return make


async def ask(world: World, address: str, path: str = "/api/v1/me", **options: Any) -> Answer:
    return await world.get(path, headers={"X-Forwarded-For": address}, **options)


async def statuses(world: World, address: str, times: int, **options: Any) -> list[int]:
    return [(await ask(world, address, **options)).status for _ in range(times)]


async def test_an_address_is_turned_away_and_told_when_to_come_back(make_world: MakeWorld) -> None:
    async with make_world(limits_requests=f"3{LONG}") as world:
        first = await ask(world, "192.0.2.1")
        assert first.headers["RateLimit-Policy"] == '"requests";q=3;w=3600'
        assert first.headers["RateLimit"].startswith('"requests";r=2;t=')
        assert await statuses(world, "192.0.2.1", 3) == [200, 200, 429]
        late = await ask(world, "192.0.2.1")
        assert late.json["code"] == "too-many-requests"
        assert 1 <= int(late.headers["Retry-After"]) <= 7200
        assert late.headers["RateLimit"].startswith('"requests";r=0;t=')
        # Another address is another client, and nobody's wrong token is a way around it.
        assert (await ask(world, "192.0.2.2")).status == 200
        assert (await ask(world, "192.0.2.1", who=None)).status == 429


async def test_health_checks_never_count(make_world: MakeWorld) -> None:
    async with make_world(limits_requests=f"1{LONG}") as world:
        for path in ("/healthz", "/readyz"):
            assert await statuses(world, "192.0.2.1", 5, path=path) == [200] * 5
        assert await statuses(world, "192.0.2.1", 2) == [200, 429]


async def test_many_at_once_get_no_more_than_the_limit(make_world: MakeWorld) -> None:
    async with make_world(limits_requests=f"20{LONG}") as world:
        answers = await asyncio.gather(*(ask(world, "192.0.2.1") for _ in range(60)))
        assert sorted(answer.status for answer in answers) == [200] * 20 + [429] * 40


@pytest.mark.parametrize("address", ["", "192.0.2.9"])
async def test_attempts_to_sign_in_are_few_from_everywhere(
    make_world: MakeWorld, address: str
) -> None:
    async with make_world(limits_authentication=f"2{LONG}") as world:
        headers = {"X-Forwarded-For": address} if address else {}
        found = [
            (await world.post("/auth/form/complete", who=None, headers=headers)).status
            for _ in range(4)
        ]
        assert found == [401, 401, 429, 429]
        assert (await world.get("/auth/form", who=None, headers=headers)).status == 200


async def test_websockets_and_deployments_have_limits_of_their_own(make_world: MakeWorld) -> None:
    async with make_world(limits_websockets=f"1{LONG}", limits_deploys=f"1{LONG}") as world:
        await make_service()
        follow = "/api/v1/services/web/logs/follow"
        # No WebSocket handshake: the refusal of the second one is what matters.
        assert await statuses(world, "192.0.2.1", 2, path=follow) == [400, 429]
        deployments = "/api/v1/services/web/deployments"
        headers = {"X-Forwarded-For": "192.0.2.1"}
        found = [(await world.post(deployments, {}, headers=headers)).status for _ in range(2)]
        assert found == [201, 429]
        assert (await ask(world, "192.0.2.1")).status == 200


async def test_this_machine_counts_only_when_it_is_told_to(make_world: MakeWorld) -> None:
    async with make_world(limits_requests=f"1{LONG}") as world:
        found = [await world.get("/api/v1/me") for _ in range(4)]
        assert [answer.status for answer in found] == [200] * 4
        assert "RateLimit" not in found[0].headers
    async with make_world(limits_requests=f"1{LONG}", limits_local="true") as world:
        assert [(await world.get("/api/v1/me")).status for _ in range(2)] == [200, 429]


async def test_off_is_no_limit(make_world: MakeWorld) -> None:
    async with make_world(limits_requests="off") as world:
        answers = await asyncio.gather(*(ask(world, "192.0.2.1") for _ in range(150)))
        assert {answer.status for answer in answers} == {200}


@pytest.mark.parametrize(
    ("forwarded", "trusted", "same_as"),
    [
        ("192.0.2.1", "", "192.0.2.1"),
        # What the client itself sends stands before what the proxy adds.
        ("198.51.100.7, 192.0.2.1", "", "192.0.2.1"),
        ("evil, 192.0.2.1", "", "192.0.2.1"),
        ("192.0.2.1, 10.0.0.5", "10.0.0.0/8", "192.0.2.1"),
        ("198.51.100.7, 192.0.2.1, 10.0.0.5, 10.9.9.9", "10.0.0.0/8", "192.0.2.1"),
        # An IPv6 host chooses freely in its network.
        ("2001:db8:1:2:aaaa::1", "", "2001:db8:1:2:bbbb::2"),
        ("::ffff:192.0.2.1", "", "192.0.2.1"),
        # No address at all: who sends that cannot become somebody else.
        ("192.0.2.1, 10.0.0.5, <script>", "10.0.0.0/8", "198.51.100.200, nonsense"),
    ],
)
async def test_who_asks(make_world: MakeWorld, forwarded: str, trusted: str, same_as: str) -> None:
    limits = {"limits_requests": f"1{LONG}", "limits_local": "true"}
    async with make_world(**limits, trusted_proxies=trusted) as world:
        assert await statuses(world, forwarded, 1) == [200]
        assert await statuses(world, same_as, 1) == [429]
        assert await statuses(world, "203.0.113.77", 1) == [200]


async def test_several_processes_count_together_in_redis(make_world: MakeWorld) -> None:
    with running_redis() as redis:
        shared = {"limits_requests": f"4{LONG}", "redis_url": redis.url}
        async with make_world(**shared) as one, make_world(**shared) as two:
            assert await statuses(one, "192.0.2.1", 2) == [200, 200]
            assert await statuses(two, "192.0.2.1", 3) == [200, 200, 429]
            assert await statuses(one, "192.0.2.1", 1) == [429]


async def test_hits_at_once_are_one_question_to_redis(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("helvetia.plugins.limits.counting._SECONDS", 60.0)
    with running_redis() as redis:
        counters, rate = Counters(redis.url, prefix="test"), parse("10/hour")
        asked = []
        for who in ("one", "two"):
            counts = await asyncio.gather(*(counters.hit(rate, who) for _ in range(12)))
            assert [count.is_over for count in counts] == [*[False] * 10, True, True]
            assert [count.remaining for count in counts] == [*range(9, -1, -1), 0, 0]
            assert all(0 < count.whole_at - time.time() <= 3600 for count in counts)
            asked.append(_evaluated(redis))
        assert asked[1] - asked[0] == 1
        redis.restart()  # which forgets the script
        assert not (await counters.hit(rate, "one")).is_over


def _evaluated(redis: RedisServer) -> int:
    with socket.create_connection(("127.0.0.1", redis.port), 20) as connection:
        connection.sendall(b"INFO commandstats\r\nQUIT\r\n")
        told = b"".join(iter(partial(connection.recv, 65536), b"")).decode()
    (line,) = [line for line in told.splitlines() if line.startswith("cmdstat_evalsha:")]
    return int(line.partition("calls=")[2].partition(",")[0])


@pytest.mark.parametrize("how", ["stopped", "frozen"])
async def test_a_redis_that_is_away_holds_nobody_up(make_world: MakeWorld, how: str) -> None:
    with running_redis() as redis:
        limits = {"limits_requests": f"3{LONG}", "redis_url": redis.url}
        async with make_world(**limits) as world:
            assert await statuses(world, "192.0.2.1", 1) == [200]
            if how == "stopped":
                redis.stop()
            with redis.frozen() if how == "frozen" else nullcontext():
                began = time.monotonic()
                # Counted in this process from here on, from the beginning.
                assert await statuses(world, "192.0.2.1", 5) == [200, 200, 200, 429, 429]
                assert time.monotonic() - began < 5


@pytest.mark.parametrize("text", ["", "many", "0/minute", "-1/minute", "1/fortnight"])
def test_a_rate_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"must be like|lets nobody in"):
        LimitsSettings(requests=text)


async def test_a_wrong_rate_names_its_variable(make_world: MakeWorld) -> None:
    with pytest.raises(SettingsError, match="HELVETIA_LIMITS_DEPLOYS: `x` must be like"):
        async with make_world(limits_deploys="x"):
            pass


@pytest.mark.parametrize("text", ["10.0.0.0/33", "proxy.example.com", "10.0.0.1/8"])
def test_trusted_proxies_are_networks(text: str) -> None:
    with pytest.raises(ValueError, match="trusted_proxies"):
        KernelSettings(trusted_proxies=text)
