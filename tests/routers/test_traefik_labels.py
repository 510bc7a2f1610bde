"""Containers that Traefik finds by their labels."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import psutil
import pytest
from traefik_support import make_route, until

from helvetia import ActivationFailed, Backend, HealthCheck, ReleaseFailed, Route
from helvetia.plugins.routers.traefik.router import TraefikRouter
from helvetia.testing import TestKernel
from tests.docker_engine import DockerEngine, running_engine
from tests.routers.containers import Containers, app_image
from tests.routers.foreign import ForeignTraefik, traefik_image


class World:
    """A router and containers, over one engine."""

    def __init__(self, home: Path, engine: DockerEngine, image: str, **settings: Any) -> None:
        self.engine = engine
        sections = {"docker": engine.settings, "traefik": settings}
        self.kernel = TestKernel(home, sections)
        self.router = TraefikRouter(self.kernel)
        self.containers = Containers(self.kernel, self.router, image)

    async def __aenter__(self) -> World:
        await self.router.setup()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.router.shutdown()
        with contextlib.suppress(Exception):
            await self.containers.close()

    async def start(self, name: str, **more: Any) -> Backend:
        return await self.containers.start(self.containers.spec(name), **more)

    async def ask(self, host: str = "a.test") -> str:
        url = f"http://127.0.0.1:{self.kernel.edge[1]}/"
        async with (
            aiohttp.ClientSession() as session,
            session.get(url, headers={"Host": host}) as response,
        ):
            return await response.text() if response.status == 200 else str(response.status)

    async def answers(self, count: int) -> Counter[str]:
        return Counter([await self.ask() for _ in range(count)])

    def file(self, service: str = "svc-1") -> str:
        return (self.kernel.home / "traefik" / "dynamic" / f"{service}.yml").read_text()

    def traefik(self) -> int:
        config = f"--configFile={self.kernel.home}/traefik/traefik.yml"
        return next(
            process.pid
            for process in psutil.process_iter(["cmdline"])
            if config in (process.info["cmdline"] or []) and "traefik" in process.info["cmdline"][0]
        )


def route_to(*backends: Backend, release: str, generation: int, host: str = "a.test") -> Route:
    route = make_route(backends[0], release=release, generation=generation, hostnames=(host,))
    return replace(route, backends=backends)


@pytest.fixture(scope="module")
def image(docker_engine: DockerEngine, tmp_path_factory: pytest.TempPathFactory) -> str:
    return app_image(docker_engine, tmp_path_factory.mktemp("app"))


@pytest.fixture
async def world(docker_engine: DockerEngine, image: str, tmp_path: Path) -> AsyncIterator[World]:
    async with World(tmp_path, docker_engine, image, confirm_seconds=4) as world:
        yield world


async def test_routes_follow_labels_back_and_forth_and_domains_change(world: World) -> None:
    one, two = await asyncio.gather(world.start("one"), world.start("two"))
    for generation in range(1, 7):
        name, backend = (("one", one), ("two", two))[generation % 2]
        await world.router.activate(route_to(backend, release=name, generation=generation))
        assert await world.answers(3) == {name: 3}
        assert f"svc-1-{name}-1@docker" in world.file()
    moved = route_to(one, release="one", generation=7, host="z.test")
    await world.router.activate(moved)
    assert (await world.ask("z.test"), await world.ask()) == ("one", "404")
    traffic = await world.router.traffic("svc-1", "one")
    assert traffic is not None
    assert (traffic.requests, traffic.failed) == (10, 0)
    assert "finds containers by labels" in (await world.router.check()).reason


async def test_a_container_that_traefik_does_not_see_is_refused(world: World) -> None:
    await world.router.activate(route_to(await world.start("one"), release="one", generation=1))
    spec = world.containers.spec("two")
    labels = world.router.labels(replace(spec, id="another"), HealthCheck())
    unseen = await world.containers.start(replace(spec, labels=dict(labels)), labelled=False)
    with pytest.raises(ActivationFailed, match=r"labels: container svc-1-two-1: .*not there"):
        await world.router.activate(route_to(unseen, release="two", generation=2))
    assert await world.ask() == "one"
    assert [route.release_id for route in await world.router.routes()] == ["one"]


async def test_a_container_that_traefik_finds_sick_is_refused(world: World) -> None:
    await world.router.activate(route_to(await world.start("one"), release="one", generation=1))
    sick = await world.containers.start(
        world.containers.spec("two", SICK="1"), health=HealthCheck(path="/health")
    )
    with pytest.raises(ActivationFailed, match="is DOWN"):
        await world.router.activate(route_to(sick, release="two", generation=2))
    assert await world.ask() == "one"


async def test_several_containers_share_the_requests_and_one_that_is_away_gets_none(
    world: World,
) -> None:
    specs = [world.containers.spec(f"r{n}", release="r", number=n) for n in (1, 2, 3)]
    first, second, third = await asyncio.gather(*map(world.containers.start, specs))
    await world.router.activate(route_to(first, second, release="r", generation=1))
    assert await world.answers(8) == {"r1": 4, "r2": 4}  # the third is not asked for yet
    world.engine("stop", "-t", "0", f"helvetia-{world.kernel.installation}-{specs[1].id}")

    async def is_alone() -> bool:
        # What was on its way to a container as it ended may never be answered.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(3):
                return await world.answers(6) == {"r1": 6}
        return False

    await until(is_alone, 30)
    await world.router.activate(route_to(first, third, release="r", generation=2))
    assert await world.answers(8) == {"r1": 4, "r3": 4}
    await world.router.activate(route_to(third, release="r", generation=3))
    assert await world.answers(4) == {"r3": 4}


async def test_a_container_without_labels_is_led_to_by_its_address(world: World) -> None:
    backend = await world.start("one", labelled=False)
    await world.router.activate(route_to(backend, release="one", generation=1))
    assert await world.ask() == "one"
    assert f'"url": "http://{backend.host}:{backend.port}"' in world.file()


async def test_strangers_labels_route_nobody(
    world: World, docker_engine: DockerEngine, tmp_path: Path
) -> None:
    await world.router.activate(route_to(await world.start("one"), release="one", generation=1))
    hostile = {
        "traefik.enable": "true",
        "traefik.http.routers.svc-1.rule": "Host(`a.test`) || Host(`b.test`)",
        "traefik.http.routers.svc-1.priority": "9000000000000000000",
        "traefik.http.routers.svc-1.entrypoints": "edge",
        "traefik.http.services.svc-1-one-1.loadbalancer.server.port": "8000",
        "traefik.http.routers.api.rule": "Host(`api.test`)",
        "traefik.http.routers.api.service": "api@internal",
    }
    lines = [f"LABEL {name}={value!r}" for name, value in hostile.items()]
    image = app_image(docker_engine, tmp_path / "hostile", *lines)
    ours = {"helvetia.kind": "instance", "helvetia.installation": "0" * 32}
    words = [word for pair in ours.items() for word in ("--label", "=".join(pair))]
    plain = docker_engine("run", "-d", "-e", "PORT=8000", "-e", "NAME=stranger", image)
    marked = docker_engine("run", "-d", *words, "-e", "PORT=8000", "-e", "NAME=stranger", image)
    try:
        # As one of ours it is not even started.
        guest = Containers(world.kernel, world.router, image)
        with pytest.raises(ReleaseFailed, match="label `traefik"):
            await guest.start(guest.spec("guest"))
        # A container of ours that came later is found: Traefik has seen the strangers by then.
        await world.router.activate(route_to(await world.start("two"), release="two", generation=2))
        assert await world.answers(4) == {"two": 4}
        assert {await world.ask("b.test"), await world.ask("api.test")} == {"404"}
    finally:
        docker_engine("rm", "-f", plain, marked)


async def test_routes_outlive_a_killed_traefik(world: World) -> None:
    await world.router.activate(route_to(await world.start("one"), release="one", generation=1))
    pid = world.traefik()
    os.kill(pid, signal.SIGKILL)

    async def is_back() -> bool:
        with contextlib.suppress(aiohttp.ClientError, StopIteration):
            return world.traefik() != pid and await world.ask() == "one"
        return False

    await until(is_back)
    await world.router.activate(route_to(await world.start("two"), release="two", generation=2))
    assert await world.ask() == "two"


@pytest.mark.long
async def test_routes_outlive_an_engine_that_is_killed_and_started_again(tmp_path: Path) -> None:
    with running_engine() as engine:
        image = app_image(engine, tmp_path / "app")
        async with World(tmp_path / "home", engine, image) as world:
            one = await world.start("one")
            await world.router.activate(route_to(one, release="one", generation=1))
            engine.kill()
            assert await world.ask() == "one"
            # Without the engine it counts what is known of the same container.
            await world.router.activate(route_to(one, release="one", generation=2, host="b.test"))
            assert await world.ask("b.test") == "one"
            engine.start()
            await world.start("one")  # as the platform does with what ended

            async def is_back() -> bool:
                return await world.ask("b.test") == "one"

            await until(is_back, 30)
            two = await world.start("two")
            await world.router.activate(route_to(two, release="two", generation=3))
            assert await world.ask() == "two"


async def test_discovery_can_be_switched_off_and_routes_stay(
    world: World, docker_engine: DockerEngine
) -> None:
    await world.router.activate(route_to(await world.start("one"), release="one", generation=1))
    await world.router.close()
    world.kernel.settings["traefik"]["discovery"] = False
    second = TraefikRouter(world.kernel)
    await second.setup()
    try:
        assert await world.ask() == "one"
        assert "@docker" not in world.file()
        assert second.labels(world.containers.spec("two"), HealthCheck()) == {}
        assert '"docker"' not in (world.kernel.home / "traefik" / "traefik.yml").read_text()
    finally:
        await second.close()


async def test_traefik_becomes_a_container_and_a_process_again(
    world: World, docker_engine: DockerEngine
) -> None:
    await world.router.activate(route_to(await world.start("one"), release="one", generation=1))
    await world.router.close()
    name = f"helvetia-{world.kernel.installation}-traefik"
    world.kernel.settings["traefik"] |= {"run": "container", "image": traefik_image(docker_engine)}
    boxed = TraefikRouter(world.kernel)
    await boxed.setup()
    try:
        assert docker_engine("ps", "-q", "--filter", f"name={name}")
        assert await world.ask() == "one"  # from the first moment
        two = await world.start("two")
        await boxed.activate(route_to(two, release="two", generation=2))
        assert await world.ask() == "two"
        docker_engine("kill", name)
        docker_engine("start", name)

        async def is_back() -> bool:
            with contextlib.suppress(aiohttp.ClientError):
                return await world.ask() == "two"
            return False

        await until(is_back)
    finally:
        await boxed.close()
        world.kernel.settings["traefik"]["run"] = "process"
        await world.router.setup()
    third = TraefikRouter(world.kernel)
    await third.setup()
    assert not docker_engine("ps", "-aq", "--filter", f"name={name}")
    assert await world.ask() == "two"
    await third.shutdown()


async def test_an_existing_traefik_finds_containers_too(
    docker_engine: DockerEngine, image: str, tmp_path: Path
) -> None:
    foreign = ForeignTraefik(tmp_path / "foreign")
    foreign.static["providers"]["docker"] = {
        "endpoint": docker_engine.url,
        "exposedByDefault": False,
    }
    with foreign:
        world = World(tmp_path / "home", docker_engine, image, **foreign.settings)
        world.kernel.edge = foreign.edge
        async with world:
            one = await world.start("one")
            await world.router.activate(route_to(one, release="one", generation=1))
            assert await world.ask() == "one"
            assert "@docker" in next(foreign.watched.glob("*svc-1.yml")).read_text()
            await world.router.retire("svc-1", 2)
            assert await world.ask() == "404"


async def test_an_existing_traefik_says_what_is_missing(tmp_path: Path) -> None:
    with ForeignTraefik(tmp_path / "foreign") as foreign:
        wrong = {"folder": str(tmp_path / "none"), "https": "127.0.0.1:443"}
        settings = {**foreign.settings, **wrong, "https_entry_point": "tls"}
        router = TraefikRouter(TestKernel(tmp_path / "home", {"traefik": settings}))
        check = await router.check()
        assert not check.ok
        assert "has no entry point `tls`" in check.reason
        assert f"{tmp_path}/none is no folder that the platform may write to" in check.reason
        unwatched = tmp_path / "unwatched"
        unwatched.mkdir()
        settings = {**foreign.settings, "folder": str(unwatched)}
        router = TraefikRouter(TestKernel(tmp_path / "home", {"traefik": settings}))
        assert (await router.check()).ok
        with pytest.raises(Exception, match=f"does not read {unwatched}"):
            await router.setup()
        await router.close()
    assert "does not answer" in (await router.check()).reason


async def test_a_container_without_an_engine_or_an_image_says_so(
    docker_engine: DockerEngine, tmp_path: Path
) -> None:
    away = {"host": f"unix://{tmp_path}/none.sock"}
    settings = {"docker": away, "traefik": {"run": "container"}}
    check = await TraefikRouter(TestKernel(tmp_path / "one", settings)).check()
    assert not check.ok
    assert f"there is no unix://{tmp_path}/none.sock" in check.reason
    settings = {
        "docker": docker_engine.settings,
        "traefik": {"run": "container", "image": "127.0.0.1:1/none:1"},
    }
    router = TraefikRouter(TestKernel(tmp_path / "two", settings))
    with pytest.raises(Exception, match=r"image 127.0.0.1:1/none:1 cannot be had"):
        await router.setup()
