"""What every router promises."""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import pytest
import pytest_asyncio
from aiohttp import web

from helvetia.kernel.contracts.artifact import OCI_IMAGE, Artifact, ArtifactReference
from helvetia.kernel.contracts.health import HealthCheck
from helvetia.kernel.contracts.router import Backend, Route, Router
from helvetia.kernel.contracts.runtime import InstanceSpec
from helvetia.kernel.errors import ActivationFailed, InvalidInput

from .base import Conformance, after, cancel_midway, eventually
from .kernel import TestKernel

Ask = Callable[[str], Any]

HOSTILE = (
    "a.test`) || PathPrefix(`/",
    "`",
    "*",
    "*.test",
    "a.*.test",
    "*.*.a.test",
    "*a.test",
    "*.a.test`) || PathPrefix(`/",
    "a.test:80",
    "a.test/x",
    "http://a.test",
    "a test",
    "a.test\nb.test",
    "a..test",
    "-a.test",
    "",
    "{{ .Name }}.test",
    "a.test, b.test",
    f"{'a' * 64}.test",
)


class RouterConformance(Conformance):
    """The suite for routers. Override `ask` if people do not reach the router at `kernel.edge`."""

    contract = Router
    helvetia_family = "router"

    @pytest_asyncio.fixture
    async def ask(self, kernel: TestKernel) -> AsyncIterator[Ask]:
        """Ask the router for a hostname; the name of the release that answers, else `nobody`."""
        host, port = kernel.edge
        async with aiohttp.ClientSession() as client:

            async def ask(hostname: str) -> str:
                headers = {"Host": hostname}
                async with client.get(f"http://{host}:{port}/", headers=headers) as response:
                    known = response.headers.get("X-Release")
                    return known or "nobody"

            yield ask

    @pytest_asyncio.fixture
    async def backends(self) -> AsyncIterator[dict[str, Backend]]:
        """Two real servers, `old` and `new`, which say their name."""
        async with contextlib.AsyncExitStack() as stack:
            started = {}
            for name in ("old", "new"):

                async def answer(request: web.Request, name: str = name) -> web.Response:
                    return web.Response(text="hello", headers={"X-Release": name})

                app = web.Application()
                app.router.add_get("/", answer)
                runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
                await runner.setup()
                stack.push_async_callback(runner.cleanup)
                await web.TCPSite(runner, "127.0.0.1", 0).start()
                started[name] = Backend(host="127.0.0.1", port=runner.addresses[0][1])
            yield started

    @pytest.fixture
    def old(self, backends: dict[str, Backend]) -> Route:
        """The first route of a service."""
        return Route(
            service_id="svc-conformance",
            release_id="old",
            hostnames=("a.test", "www.a.test"),
            backends=(backends["old"],),
            generation=1,
        )

    @pytest.fixture
    def new(self, old: Route, backends: dict[str, Backend]) -> Route:
        """The next one."""
        return replace(old, release_id="new", backends=(backends["new"],), generation=2)

    async def clean(self, provider: Any) -> None:
        """Take every route away."""
        with contextlib.suppress(Exception):
            for route in await provider.routes():
                await provider.retire(route.service_id, route.generation)

    async def test_activate(self, ready: Any, old: Route, ask: Ask) -> None:
        """Leads every hostname of a route, and no other, from the moment `activate` returns."""
        await ready.activate(old)
        assert [await ask(name) for name in old.hostnames] == ["old", "old"]
        assert await ask("b.test") == "nobody"
        assert list(await ready.routes()) == [old], "the route is not read back as it is"
        await ready.activate(old)
        assert list(await ready.routes()) == [old]

    async def test_switch(self, ready: Any, old: Route, new: Route, ask: Ask) -> None:
        """Switches without a failed request; no old answer comes after `activate` returned."""
        await ready.activate(old)
        answers: list[str] = []

        async def load() -> None:
            while True:
                answers.append(await ask("a.test"))

        clients = [asyncio.ensure_future(load()) for _ in range(4)]
        try:
            for generation in range(2, 8):
                route = replace((old, new)[generation % 2], generation=generation)
                await ready.activate(route)
                after = [await ask("a.test") for _ in range(5)]
                assert set(after) == {route.release_id}
                assert list(await ready.routes()) == [route]
        finally:
            for client in clients:
                client.cancel()
            ended = await asyncio.gather(*clients, return_exceptions=True)
        failed = [error for error in ended if not isinstance(error, asyncio.CancelledError)]
        assert not failed
        assert set(answers) <= {"old", "new"}, "a request failed during a switch"

    async def test_generation(self, ready: Any, old: Route, new: Route, ask: Ask) -> None:
        """Refuses a lower generation with ActivationFailed; the newer route stays in force."""
        await ready.activate(new)
        with pytest.raises(ActivationFailed) as refused:
            await ready.activate(old)
        assert refused.value.message.strip()
        assert await ask("a.test") == "new"
        assert list(await ready.routes()) == [new]

    async def test_retire(self, ready: Any, old: Route, ask: Ask) -> None:
        """Takes a route away, quietly if there is none, and leaves those of others."""
        other = replace(old, service_id="svc-other", hostnames=("other.test",))
        await ready.activate(old)
        await ready.activate(other)
        for _ in range(2):
            await ready.retire(old.service_id, 3)
        assert [await ask(name) for name in old.hostnames] == ["nobody", "nobody"]
        assert await ask("other.test") == "old"
        assert list(await ready.routes()) == [other]

    async def test_retired_generation(self, ready: Any, old: Route, new: Route, ask: Ask) -> None:
        """Refuses a lower generation than the one a route was taken away with, both ways."""
        await ready.activate(new)
        with pytest.raises(ActivationFailed):
            await ready.retire(old.service_id, old.generation)
        assert list(await ready.routes()) == [new]
        await ready.retire(old.service_id, 3)
        with pytest.raises(ActivationFailed):
            await ready.activate(new)
        assert await ask("a.test") == "nobody"
        await ready.activate(replace(new, generation=4))
        assert await ask("a.test") == "new"

    async def test_hostnames(self, ready: Any, old: Route, new: Route, ask: Ask) -> None:
        """Drops a hostname that the next route has no more, and takes a new one."""
        await ready.activate(old)
        await ready.activate(replace(new, hostnames=("a.test", "b.test")))
        assert await ask("www.a.test") == "nobody"
        assert await ask("b.test") == "new"

    async def test_hostile(self, ready: Any, old: Route, new: Route, ask: Ask) -> None:
        """Refuses with InvalidInput what is no hostname; the former route stays in force."""
        await ready.activate(old)
        for hostname in HOSTILE:
            for route in (new, replace(new, service_id="svc-hostile")):
                with pytest.raises(InvalidInput):
                    await ready.activate(replace(route, hostnames=("ok.test", hostname)))
        assert list(await ready.routes()) == [old]
        assert await ask("a.test") == "old"
        assert await ask("ok.test") == await ask("anything.example") == "nobody"

    async def test_wildcards(self, ready: Any, old: Route, new: Route, ask: Ask) -> None:
        """Leads one label below a wildcard, after whoever has the name itself; or refuses it."""
        wild = replace(new, service_id="svc-wild", hostnames=("w.test", "*.a.test", "*.b-2.test"))
        if "wildcards" not in ready.capabilities:
            with pytest.raises(InvalidInput):
                await ready.activate(wild)
            return
        await ready.activate(old)
        await ready.activate(wild)
        other = [await ask(name) for name in ("w.test", "x.a.test", "X.A.test", "x.b-2.test")]
        assert other == ["new"] * 4
        assert [await ask(name) for name in old.hostnames] == ["old", "old"]
        beside = ("x.y.a.test", "xa.test", "a.testx", "b-2.test", "x.b-2xtest", "x.a.test.c.test")
        assert [await ask(name) for name in beside] == ["nobody"] * len(beside)
        assert sorted(await ready.routes(), key=lambda one: one.service_id) == [old, wild]
        await ready.activate(replace(wild, hostnames=("w.test", "*.a.test"), generation=3))
        assert await ask("x.b-2.test") == "nobody"
        await ready.retire(old.service_id, 2)
        assert [await ask(name) for name in old.hostnames] == ["nobody", "new"]
        await ready.retire("svc-wild", 4)
        assert [await ask(name) for name in ("x.a.test", "www.a.test")] == ["nobody", "nobody"]

    async def test_traffic(self, ready: Any, old: Route, new: Route, ask: Ask) -> None:
        """Counts the requests of a release and never counts backwards, or says None."""
        await ready.activate(old)
        if await ready.traffic(old.service_id, "old") is None:
            return

        async def count(release: str = "old") -> Any:
            now = await ready.traffic(old.service_id, release)
            assert now.requests >= seen.get(release, 0), "it counts backwards"
            assert now.failed == 0
            seen[release] = now.requests
            return now.requests

        seen: dict[str, int] = {}
        for asked in range(5, 20, 5):
            for _ in range(5):
                await ask("a.test")
            await eventually(count, asked.__eq__)
        await ready.activate(new)
        await ask("a.test")
        await eventually(lambda: count("new"), lambda now: now == 1)
        assert await count() == 15

    async def test_meters(self, ready: Any, old: Route, ask: Ask) -> None:
        """Counts the answers of all releases by status and by time, or has no meters."""
        await ready.activate(old)
        for _ in range(7):
            await ask("a.test")

        async def counted() -> int:
            meter = (await ready.meters()).get((old.service_id, "old"))
            if meter is None:
                return 0
            assert sum(meter.seconds.values()) == sum(meter.statuses.values())
            assert max(meter.seconds) == math.inf, "the last bound is infinite"
            return int(meter.statuses[2])

        if type(ready).meters is not Router.meters:
            await eventually(counted, lambda now: now == 7)

    async def test_labels(self, ready: Any) -> None:
        """Gives an instance the same labels each time, as text, and none of the platform's own."""
        artifact = Artifact(kind=OCI_IMAGE, location=f"sha256:{'0' * 64}", processes={"web": []})
        spec = InstanceSpec(
            id="instance-1",
            service_id="svc-conformance",
            service_name="web",
            release_id="old",
            artifact=ArtifactReference(
                registry="engine", digest=f"sha256:{'0' * 64}", bytes=0, artifact=artifact
            ),
        )
        health = HealthCheck(path="/health")
        given = dict(ready.labels(spec, health))
        assert given == dict(ready.labels(spec, health))
        assert all(isinstance(word, str) for pair in given.items() for word in pair)
        assert not [name for name in given if name.startswith("helvetia.")]

    async def test_url(self, provider: Any) -> None:
        """Names the address that a person types for a hostname."""
        url = urlsplit(provider.url("a.test"))
        assert url.scheme in ("http", "https")
        assert url.hostname == "a.test"

    async def test_adoption(
        self, ready: Any, kernel: TestKernel, old: Route, new: Route, ask: Ask
    ) -> None:
        """Routes outlive a platform killed with -9; the next one reads them and goes on."""
        await ready.close()
        async with self.killed_platform(ready, kernel, "activate", old):
            pass
        assert await ask("a.test") == "old"
        second = self.another(ready, kernel)
        await second.setup()
        assert list(await second.routes()) == [old]
        await second.activate(new)
        assert await ask("a.test") == "new"
        with pytest.raises(ActivationFailed):
            await second.activate(old)
        await second.close()
        assert await ask("a.test") == "new", "closing the platform must not take routes away"
        await ready.setup()

    async def test_ownership(
        self, ready: Any, kernel: TestKernel, old: Route, ask: Ask, tmp_path: Path
    ) -> None:
        """Neither shows nor touches the routes of another installation."""
        await ready.activate(old)
        theirs = self.another(ready, TestKernel(tmp_path / "stranger", self.settings))
        try:
            await theirs.setup()
            assert list(await theirs.routes()) == []
            await theirs.retire(old.service_id, 9)
        finally:
            await theirs.close()
            await theirs.shutdown()
        assert await ask("a.test") == "old"
        assert list(await ready.routes()) == [old]

    async def test_cancel(self, ready: Any, old: Route, new: Route, ask: Ask) -> None:
        """Cancelled or out of time in a switch, one route is in force, which the next replaces."""
        await ready.activate(old)
        for turns in range(4):
            route = replace(new, generation=2 + turns)
            await cancel_midway(ready.activate(route), after(turns))
            (now,) = await ready.routes()
            assert await ask("a.test") == now.release_id
        await ready.activate(replace(new, generation=9))
        assert await ask("a.test") == "new"
