from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import aiohttp
import psutil
import pytest
from traefik_support import Lent, StartApp, free_port, make_route, until

from helvetia import ActivationFailed, Backend, HelvetiaError, InvalidInput, Traffic
from helvetia.kernel.errors import PortTaken
from helvetia.plugins.routers.traefik.binary import find_binary
from helvetia.plugins.routers.traefik.files import Layout, locked
from helvetia.plugins.routers.traefik.names import server_url
from helvetia.plugins.routers.traefik.router import TraefikRouter


async def fetch(
    kernel: Lent, host: str = "a.test", path: str = "/", **more: object
) -> tuple[int, str]:
    async with aiohttp.ClientSession() as session:
        url = f"http://127.0.0.1:{kernel.edge[1]}{path}"
        headers = {"Host": host, **more.pop("headers", {})}  # type: ignore[dict-item]
        async with session.get(url, headers=headers, **more) as response:  # type: ignore[arg-type]
            return response.status, await response.text()


def traefik_pids(kernel: Lent) -> list[int]:
    """The Traefik processes that were started with this installation's folder."""
    found = []
    for process in psutil.process_iter(["pid", "cmdline"]):
        line = process.info["cmdline"] or []
        if any(part == f"--configFile={kernel.home}/traefik/traefik.yml" for part in line):
            found.append(process.info["pid"])
    return found


# --- switching ------------------------------------------------------------------------------


async def test_activate_returns_when_the_new_route_answers(
    kernel: Lent, router: TraefikRouter, start_app: StartApp
) -> None:
    assert (await fetch(kernel))[0] == 404
    route = make_route(await start_app("one"), hostnames=("a.test", "b.test"))
    await router.activate(route)
    assert await fetch(kernel, "a.test") == (200, "one")
    assert await fetch(kernel, "b.test") == (200, "one")
    assert (await fetch(kernel, "c.test"))[0] == 404
    assert list(await router.routes()) == [route]

    newer = replace(route, release_id="rel-2", backends=(await start_app("two"),), generation=2)
    await router.activate(newer)
    assert await fetch(kernel) == (200, "two")
    await router.activate(newer)  # again, after a crash of the caller
    assert list(await router.routes()) == [newer]


async def test_fifty_switches_under_load_lose_no_request(
    kernel: Lent, router: TraefikRouter, start_app: StartApp
) -> None:
    apps = [await start_app("A"), await start_app("B")]
    await router.activate(make_route(apps[0], release="r0", generation=0))
    url = f"http://127.0.0.1:{kernel.edge[1]}"
    answers: Counter[str] = Counter()
    failures: list[str] = []
    done = asyncio.Event()

    async def load(method: str, path: str, keep: bool) -> None:
        connector = aiohttp.TCPConnector(force_close=not keep)
        async with aiohttp.ClientSession(connector=connector) as session:
            while not done.is_set():
                try:
                    async with session.request(
                        method,
                        url + path,
                        headers={"Host": "a.test"},
                        data="!" * (method == "POST"),
                    ) as response:
                        text = await response.text()
                        if response.status != 200:
                            failures.append(f"{method} {path}: {response.status} {text}")
                        answers[text] += 1
                except (aiohttp.ClientError, OSError) as error:
                    failures.append(f"{method} {path}: {error!r}")

    async with asyncio.TaskGroup() as group:
        for method in ("GET", "POST"):
            for path in ("/", "/slow"):
                for keep in (True, False):
                    group.create_task(load(method, path, keep))
        try:
            for number in range(1, 51):
                route = make_route(apps[number % 2], release=f"r{number}", generation=number)
                await router.activate(route)
                # Not one answer of the old release to a request that begins from now on.
                assert await fetch(kernel) == (200, "AB"[number % 2])
        finally:
            done.set()
    assert failures == []
    assert min(answers[text] for text in ("A", "B", "A!", "B!")) > 20


async def test_an_older_generation_is_refused(
    kernel: Lent, router: TraefikRouter, start_app: StartApp
) -> None:
    newer = make_route(await start_app("newer"), release="r7", generation=7)
    await router.activate(newer)
    older = make_route(await start_app("older"), release="r6", generation=6)
    with pytest.raises(ActivationFailed, match="newer deployment already switched"):
        await router.activate(older)
    assert await fetch(kernel) == (200, "newer")
    assert list(await router.routes()) == [newer]


async def test_hostnames_and_backends_change_without_a_new_release(
    kernel: Lent, router: TraefikRouter, start_app: StartApp
) -> None:
    await router.activate(make_route(await start_app("old")))
    moved = make_route(await start_app("moved"), hostnames=("z.test",), generation=2)
    await router.activate(moved)
    assert await fetch(kernel, "z.test") == (200, "moved")
    assert (await fetch(kernel, "a.test"))[0] == 404


async def test_services_switch_at_the_same_time(
    kernel: Lent, router: TraefikRouter, start_app: StartApp
) -> None:
    names = [f"s{number}" for number in range(6)]
    routes = [
        make_route(await start_app(name), service=name, hostnames=(f"{name}.test",))
        for name in names
    ]
    await asyncio.gather(*(router.activate(route) for route in routes))
    for name in names:
        assert await fetch(kernel, f"{name}.test") == (200, name)
    assert {route.service_id for route in await router.routes()} == set(names)


async def test_racing_switches_of_one_service_end_with_the_newest(
    kernel: Lent, router: TraefikRouter, start_app: StartApp
) -> None:
    routes = [
        make_route(await start_app(f"r{number}"), release=f"r{number}", generation=number)
        for number in range(1, 6)
    ]
    await asyncio.gather(*(router.activate(route) for route in routes), return_exceptions=True)
    assert await fetch(kernel) == (200, "r5")
    assert list(await router.routes()) == [routes[-1]]


async def test_retire_takes_the_route_away(
    kernel: Lent, router: TraefikRouter, start_app: StartApp
) -> None:
    await router.activate(make_route(await start_app("one")))
    await router.retire("svc-1", 2)
    assert (await fetch(kernel))[0] == 404
    assert list(await router.routes()) == []
    await router.retire("svc-1", 3)


async def test_a_route_taken_away_does_not_come_back_by_a_late_worker(
    kernel: Lent, router: TraefikRouter, start_app: StartApp
) -> None:
    route = make_route(await start_app("one"))
    await router.activate(route)
    await router.retire("svc-1", 3)
    with pytest.raises(ActivationFailed, match=r"generation 3, this one is 2"):
        await router.activate(replace(route, generation=2))
    assert (await fetch(kernel))[0] == 404
    await router.activate(replace(route, generation=4))
    with pytest.raises(ActivationFailed, match=r"generation 4, this one is 3"):
        await router.retire("svc-1", 3)
    assert await fetch(kernel) == (200, "one")


async def test_what_is_kept_of_routes_long_gone_is_swept(
    kernel: Lent, router: TraefikRouter, start_app: StartApp
) -> None:
    locks = kernel.home / "traefik" / "locks"
    backend = await start_app("one")
    for service in ("gone", "lives", "just-gone"):
        await router.activate(make_route(backend, service=service, hostnames=(f"{service}.test",)))
    await router.retire("gone", 2)
    for path in locks.glob("*.route"):
        os.utime(path, (0, 0))
    await router.retire("just-gone", 2)
    assert {path.stem for path in locks.glob("*.route")} == {"lives", "just-gone"}


async def test_what_is_being_written_is_not_swept_whatever_the_clock_says(tmp_path: Path) -> None:
    for layout in (Layout(tmp_path), Layout(tmp_path, watched=tmp_path / "w", mark="-i")):
        layout.dynamic.mkdir(exist_ok=True)
        async with layout.staged("one", "two") as paths:
            for path in paths:
                os.utime(path, (0, 0))
            layout.sweep()
            assert [path.read_text() for path in paths] == ["one", "two"]
            left = paths[0].with_name("left")
            left.touch()
            os.utime(left, (0, 0))
            os.replace(paths[0], layout.route("s1"))
        assert layout.route("s1").read_text() == "one"
        layout.sweep()
        assert [path for path in left.parent.iterdir() if path.is_file()] == []


async def test_data_folders_that_share_traefiks_folder_share_its_locks(tmp_path: Path) -> None:
    here, there = (
        Layout(tmp_path / name, watched=tmp_path / "w", mark="-i") for name in ("here", "there")
    )
    here.dynamic.mkdir()
    async with locked(here.route_lock("s1")):
        with pytest.raises(TimeoutError):
            async with locked(there.route_lock("s1"), 0.1):
                pass
    here.remember("s1", 7)
    assert there.retired("s1") == 7


async def test_a_lock_whose_file_was_swept_away_is_taken_anew(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    async with contextlib.AsyncExitStack() as former, contextlib.AsyncExitStack() as mine:
        await former.enter_async_context(locked(path, 1))
        waiting = asyncio.create_task(mine.enter_async_context(locked(path, 5)))
        await asyncio.sleep(0)  # it has the file open now
        path.unlink()
        await former.aclose()
        await waiting
        with pytest.raises(TimeoutError):
            async with locked(path, 0.05):
                pass


async def test_a_switch_that_traefik_refuses_is_undone(
    kernel: Lent, router: TraefikRouter, start_app: StartApp
) -> None:
    kernel.settings.confirm_seconds = 1
    former = make_route(await start_app("former"))
    await router.activate(former)
    # Somebody's own file claims the name of the new release's service.
    foreign = kernel.home / "traefik" / "dynamic" / "0.yml"
    foreign.write_text(
        '{"http": {"services": {"svc-1.rel-2": {"loadBalancer": '
        '{"servers": [{"url": "http://127.0.0.1:1"}]}}}}}'
    )
    newer = make_route(await start_app("newer"), release="rel-2", generation=2)
    with pytest.raises(ActivationFailed, match="did not confirm"):
        await router.activate(newer)
    assert list(await router.routes()) == [former]
    assert await fetch(kernel) == (200, "former")


async def test_a_cancelled_switch_leaves_the_former_route(
    kernel: Lent, router: TraefikRouter, start_app: StartApp
) -> None:
    former = make_route(await start_app("former"))
    await router.activate(former)
    pid = traefik_pids(kernel)[0]
    os.kill(pid, signal.SIGSTOP)  # so that the switch cannot be confirmed
    try:
        newer = make_route(await start_app("newer"), release="rel-2", generation=2)
        task = asyncio.create_task(router.activate(newer))

        async def is_written() -> bool:
            return [route.release_id for route in await router.routes()] == ["rel-2"]

        await until(is_written)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert list(await router.routes()) == [former]
    finally:
        os.kill(pid, signal.SIGCONT)

    async def is_former() -> bool:
        return await fetch(kernel) == (200, "former")

    await until(is_former)


async def test_a_switch_given_up_at_any_moment_is_all_or_nothing(
    kernel: Lent, router: TraefikRouter, start_app: StartApp
) -> None:
    apps = {name: await start_app(name) for name in ("A", "B")}
    in_force = make_route(apps["A"], release="A", generation=0)
    await router.activate(in_force)
    given_up = 0
    for number in range(1, 121):
        name = "B" if in_force.release_id == "A" else "A"
        newer = make_route(apps[name], release=name, generation=number)
        try:
            async with asyncio.timeout(number % 24 / 2000):
                await router.activate(newer)
            in_force = newer
        except TimeoutError:
            given_up += 1
        assert list(await router.routes()) == [in_force]
        assert await fetch(kernel) == (200, in_force.release_id)
    assert given_up > 0


# --- what passes through --------------------------------------------------------------------


async def test_websockets_pass_and_survive_the_switch(
    kernel: Lent, router: TraefikRouter, start_app: StartApp
) -> None:
    await router.activate(make_route(await start_app("one")))
    url = f"ws://127.0.0.1:{kernel.edge[1]}/ws"
    async with aiohttp.ClientSession(headers={"Host": "a.test"}) as session:
        async with session.ws_connect(url) as held:
            await held.send_str("x")
            assert await held.receive_str(timeout=5) == "one:x"
            newer = make_route(await start_app("two"), release="rel-2", generation=2)
            await router.activate(newer)
            await held.send_str("y")
            assert await held.receive_str(timeout=5) == "one:y"
        async with session.ws_connect(url) as fresh:
            await fresh.send_str("x")
            assert await fresh.receive_str(timeout=5) == "two:x"


async def test_the_url_passes_as_it_is_and_false_forwarding_headers_do_not(
    kernel: Lent, router: TraefikRouter, start_app: StartApp
) -> None:
    await router.activate(make_route(await start_app("one")))
    target = "/headers//a%2Fb/../c?u=http://x//y&a=1"
    reader, writer = await asyncio.open_connection(*kernel.edge)
    writer.write(
        f"GET {target};b=2 HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n"
        "X-Forwarded-For: 6.6.6.6\r\nX_Auth_User: 6.6.6.6\r\n"
        "Forwarded: for=6.6.6.6\r\n\r\n".encode()
    )
    answer = (await reader.read()).decode()
    writer.close()
    assert f"{target}%3Bb=2" in answer
    assert "6.6.6.6" not in answer
    assert '"X-Forwarded-For": "127.0.0.1"' in answer


async def test_traffic_counts_gateway_errors_and_outlives_the_switch(
    kernel: Lent, router: TraefikRouter, start_app: StartApp
) -> None:
    await router.activate(make_route(await start_app("one")))
    for path in ("/", "/status/500", "/status/404", "/status/503"):
        await fetch(kernel, path=path)
    assert await router.traffic("svc-1", "rel-1") == Traffic(requests=4, failed=1)
    nobody = Backend(host="127.0.0.1", port=free_port())
    await router.activate(make_route(nobody, release="rel-2", generation=2))
    assert (await fetch(kernel))[0] == 502
    for _ in range(3):
        assert await router.traffic("svc-1", "rel-2") == Traffic(requests=1, failed=1)
        assert await router.traffic("svc-1", "rel-1") == Traffic(requests=4, failed=1)
    assert await router.traffic("svc-1", "rel-9") == Traffic(requests=0, failed=0)


@pytest.mark.parametrize(
    "hostname",
    [
        "", "a`) || PathPrefix(`/", "a b.test", "a||b", "A.test", "a.test.", ".a.test", "a..test",
        "127.0.0.1", "1.2.3", "0x7f.1", "a.0x7f", "[::1]", "::1", "a.test:80", "*.test", "-a.test",
        "a-.test", "a_b.test", "bücher.test", "a.test\n", "x" * 64 + ".test", "a." * 126 + "test",
        "http://a.test", "{a}", "*", "*.1.2.3.4", "*.a`.test", "*.*.a.test", "a.*.test",
        "*." + "a." * 124 + "test",
    ],
)  # fmt: skip
async def test_what_is_no_hostname_is_refused(
    kernel: Lent, router_at_rest: TraefikRouter, hostname: str
) -> None:
    backend = Backend(host="127.0.0.1", port=80)
    with pytest.raises(InvalidInput, match="domains"):
        await router_at_rest.activate(make_route(backend, hostnames=("a.test", hostname)))


@pytest.mark.parametrize(
    "hostname",
    ["localhost", "a.test", "xn--bcher-kva.test", "1.example.com", "a--b.c", "x" * 63 + ".test",
     "a." * 124 + "test", "*.a.test"],
)  # fmt: skip
async def test_hostnames_are_accepted(router_at_rest: TraefikRouter, hostname: str) -> None:
    backend = Backend(host="127.0.0.1", port=80)
    with pytest.raises(HelvetiaError, match="not set up"):
        await router_at_rest.activate(make_route(backend, hostnames=("b.test", hostname)))


@pytest.mark.parametrize("bad", ["", "../x", "a/b", "_helvetia", "a`b", "a.b", "a@file", "x" * 65])
async def test_what_is_no_id_is_refused(router_at_rest: TraefikRouter, bad: str) -> None:
    backend = Backend(host="127.0.0.1", port=80)
    with pytest.raises(InvalidInput, match="service"):
        await router_at_rest.activate(make_route(backend, service=bad))
    with pytest.raises(InvalidInput, match="service"):
        await router_at_rest.retire(bad, 1)
    with pytest.raises(InvalidInput, match="release"):
        await router_at_rest.activate(make_route(backend, release=bad))


@pytest.mark.parametrize(
    ("host", "port"), [("127.0.0.1", 0), ("a b", 80), ("x/y", 80), ("fe80::1%eth0", 80)]
)
async def test_what_is_no_backend_is_refused(
    router_at_rest: TraefikRouter, host: str, port: int
) -> None:
    with pytest.raises(InvalidInput, match="backends"):
        await router_at_rest.activate(make_route(Backend(host=host, port=port)))


# --- the process ----------------------------------------------------------------------------


@pytest.fixture
def router_at_rest(kernel: Lent) -> TraefikRouter:
    return TraefikRouter(kernel)


async def test_a_later_control_plane_adopts_traefik(
    kernel: Lent, router: TraefikRouter, start_app: StartApp
) -> None:
    route = make_route(await start_app("one"))
    await router.activate(route)
    before = traefik_pids(kernel)
    await router.close()
    assert await fetch(kernel) == (200, "one")

    second = TraefikRouter(kernel)
    await second.setup()
    try:
        assert traefik_pids(kernel) == before
        assert list(await second.routes()) == [route]
        newer = replace(route, release_id="rel-2", backends=(await start_app("two"),), generation=2)
        await second.activate(newer)
        assert await fetch(kernel) == (200, "two")
        assert "running on" in (await second.check()).reason
    finally:
        await second.close()


async def test_two_control_planes_start_one_traefik(kernel: Lent) -> None:
    first, second = TraefikRouter(kernel), TraefikRouter(kernel)
    try:
        await asyncio.gather(first.setup(), second.setup())
        assert len(traefik_pids(kernel)) == 1
    finally:
        await second.close()
        await first.shutdown()
    assert traefik_pids(kernel) == []


async def test_another_edge_address_restarts_traefik(
    kernel: Lent, router: TraefikRouter, start_app: StartApp
) -> None:
    await router.activate(make_route(await start_app("one")))
    await router.close()
    kernel.edge = ("127.0.0.1", free_port())
    second = TraefikRouter(kernel)
    await second.setup()
    assert await fetch(kernel) == (200, "one")
    assert len(traefik_pids(kernel)) == 1
    await second.close()


async def test_a_killed_traefik_comes_back_by_itself_however_often(
    kernel: Lent, router: TraefikRouter, start_app: StartApp
) -> None:
    await router.activate(make_route(await start_app("one")))
    pid = 0

    async def is_back() -> bool:
        with contextlib.suppress(aiohttp.ClientError):
            return traefik_pids(kernel) != [pid] and await fetch(kernel) == (200, "one")
        return False

    for _ in range(6):  # a program that is given more time with each end would need 16 s now
        pid = traefik_pids(kernel)[0]
        os.kill(pid, signal.SIGKILL)
        await until(is_back)
    await router.activate(make_route(await start_app("two"), release="rel-2", generation=2))
    assert await fetch(kernel) == (200, "two")


async def test_a_killed_supervisor_is_noticed_and_replaced(
    kernel: Lent, router: TraefikRouter, start_app: StartApp
) -> None:
    await router.activate(make_route(await start_app("one")))
    supervisor = psutil.Process(traefik_pids(kernel)[0]).parent()
    assert supervisor is not None
    supervisor.kill()

    async def is_gone() -> bool:
        return traefik_pids(kernel) == []

    await until(is_gone)
    assert len(await router.routes()) == 1
    assert await fetch(kernel) == (200, "one")


async def test_a_taken_edge_port_is_named_and_nothing_stays(kernel: Lent) -> None:
    router = TraefikRouter(kernel)
    taken = pytest.raises(PortTaken, match=f"process {os.getpid()}")
    with socket.create_server(kernel.edge), taken as problem:
        await router.setup()
    assert "HELVETIA_EDGE" in problem.value.hint
    assert f"127.0.0.1:{kernel.edge[1]}" in problem.value.message
    assert traefik_pids(kernel) == []
    names = {path.name for path in (kernel.home / "traefik").iterdir()}
    assert names <= {"locks"}


async def test_a_taken_new_edge_does_not_take_the_old_one_down(
    kernel: Lent, router: TraefikRouter, start_app: StartApp
) -> None:
    await router.activate(make_route(await start_app("one")))
    wrong = Lent(kernel.home)
    with socket.create_server(wrong.edge), pytest.raises(PortTaken):
        await TraefikRouter(wrong).setup()
    assert await fetch(kernel) == (200, "one")


async def test_traefik_that_cannot_start_says_why_and_nothing_stays(kernel: Lent) -> None:
    kernel.settings.request_seconds = float("nan")
    router = TraefikRouter(kernel)
    with pytest.raises(HelvetiaError, match=r"Traefik does not start: .*nan"):
        await router.setup()
    assert traefik_pids(kernel) == []
    assert not (kernel.home / "traefik" / "process").exists()
    assert not (kernel.home / "traefik" / "traefik.yml").exists()


async def test_a_taken_api_port_is_replaced(
    kernel: Lent, router: TraefikRouter, start_app: StartApp
) -> None:
    await router.activate(make_route(await start_app("one")))
    used = psutil.Process(traefik_pids(kernel)[0]).net_connections("tcp")
    ports = {line.laddr.port for line in used if line.status == psutil.CONN_LISTEN}
    (api_port,) = ports - {kernel.edge[1]}
    await router.shutdown()
    with socket.create_server(("127.0.0.1", api_port)):
        await router.setup()
        assert await fetch(kernel) == (200, "one")


async def test_the_api_is_closed_to_neighbours(kernel: Lent, router: TraefikRouter) -> None:
    used = psutil.Process(traefik_pids(kernel)[0]).net_connections("tcp")
    listening = {line.laddr for line in used if line.status == psutil.CONN_LISTEN}
    assert {address.ip for address in listening} == {"127.0.0.1"}
    for address in listening:
        async with aiohttp.ClientSession() as session:
            for path in ("/api/rawdata", "/metrics", "/api/version", "/ping", "/dashboard/"):
                url = f"http://127.0.0.1:{address.port}{path}"
                async with session.get(url) as response:
                    assert response.status == 404, url


@pytest.mark.parametrize(
    "content", [None, "#!/bin/sh\necho 'Version:      3.1.2'\n", "not a program"]
)
async def test_an_unusable_binary_is_reported(kernel: Lent, content: str | None) -> None:
    binary = kernel.home / "traefik-bin"
    if content is not None:
        binary.write_text(content)
        binary.chmod(0o755)
    kernel.settings.binary = str(binary)
    check = await TraefikRouter(kernel).check()
    assert not check.ok
    assert str(binary) in check.reason
    with pytest.raises(HelvetiaError, match="no usable Traefik"):
        await TraefikRouter(kernel).setup()


async def test_a_binary_says_its_version_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program, asked, notes = (tmp_path / name for name in ("traefik", "asked", "versions.json"))

    async def start(version: str) -> int:
        """Look for it as a new process does; return how often it was asked until now."""
        monkeypatch.setattr("helvetia.plugins.routers.traefik.binary._known", {})
        assert (await find_binary(str(program), notes)).version == version
        return len(asked.read_text().splitlines())

    def write(version: str) -> None:
        program.write_text(f"#!/bin/sh\necho once >> {asked}\necho 'Version:      {version}'\n")
        program.chmod(0o755)

    write("3.7.15")
    assert [await start("3.7.15"), await start("3.7.15")] == [1, 1]
    write("3.10.0")  # another file, of another size
    assert [await start("3.10.0"), await start("3.10.0")] == [2, 2]
    for broken in ("{", "[]", '{"x": 1}'):
        notes.write_text(broken)
        await start("3.10.0")
    assert await start("3.10.0") == 5


async def test_url_names_the_port_unless_it_is_the_usual_one(
    router_at_rest: TraefikRouter, kernel: Lent
) -> None:
    assert router_at_rest.url("a.test") == f"http://a.test:{kernel.edge[1]}"
    kernel.edge = ("127.0.0.1", 80)
    assert router_at_rest.url("a.test") == "http://a.test"


async def test_a_slow_sender_is_cut_and_a_slow_answer_is_not(
    tmp_path: Path, start_app: StartApp
) -> None:
    kernel = Lent(tmp_path, request_seconds=0.2)
    router = TraefikRouter(kernel)
    try:
        await router.setup()
        await router.activate(make_route(await start_app("one")))
        reader, writer = await asyncio.open_connection(*kernel.edge)
        writer.write(b"GET / HTTP/1.1\r\nHost: a.test\r\n")
        async with asyncio.timeout(5):
            await reader.read()
        writer.close()
        assert await fetch(kernel, path="/slow") == (200, "one")
    finally:
        await router.shutdown()


async def test_connections_to_apps_are_not_kept_for_long(tmp_path: Path) -> None:
    kernel = Lent(tmp_path, idle_connection_seconds=0.2)
    router = TraefikRouter(kernel)
    left = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi")
        await writer.drain()
        await reader.read()  # until Traefik closes its end
        left.set()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        await router.setup()
        port = server.sockets[0].getsockname()[1]
        await router.activate(make_route(Backend(host="127.0.0.1", port=port)))
        assert await fetch(kernel) == (200, "hi")
        async with asyncio.timeout(5):
            await left.wait()
    finally:
        server.close()
        await router.shutdown()


async def test_traefik_outlives_a_killed_control_plane(
    kernel: Lent, router: TraefikRouter, start_app: StartApp
) -> None:
    await router.shutdown()
    script = (
        "import asyncio, sys\n"
        "from pathlib import Path\n"
        "from traefik_support import Lent\n"
        "from helvetia.plugins.routers.traefik.router import TraefikRouter\n"
        "async def main():\n"
        "    kernel = Lent(Path(sys.argv[1]))\n"
        "    kernel.edge = ('127.0.0.1', int(sys.argv[2]))\n"
        "    await TraefikRouter(kernel).setup()\n"
        "    print('ready', flush=True)\n"
        "    await asyncio.Event().wait()\n"
        "asyncio.run(main())\n"
    )
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", script, str(kernel.home), str(kernel.edge[1]),
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parent)},
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    async with asyncio.timeout(20):
        assert await process.stdout.readline() == b"ready\n"
    process.kill()
    await process.wait()
    pids = traefik_pids(kernel)
    assert len(pids) == 1
    await router.setup()
    assert traefik_pids(kernel) == pids
    await router.activate(make_route(await start_app("one")))
    assert await fetch(kernel) == (200, "one")


def test_addresses_are_written_as_urls() -> None:
    assert server_url(Backend(host="::1", port=80)) == "http://[::1]:80"
    assert server_url(Backend(host="10.0.0.7", port=8080)) == "http://10.0.0.7:8080"
    assert server_url(Backend(host="app-1", port=8080)) == "http://app-1:8080"
