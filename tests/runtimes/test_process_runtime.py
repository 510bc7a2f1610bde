from __future__ import annotations

import asyncio
import json
import os
import pickle
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from helvetia import (
    InstanceStatus,
    InvalidInput,
    ReleaseFailed,
    ResourceLimits,
)
from helvetia.plugins.runtimes.process.program import expand
from helvetia.plugins.runtimes.process.runtime import ProcessRuntime
from helvetia.plugins.supervisor import Supervised

from .conftest import (
    SERVER,
    MakeSpec,
    TestKernel,
    eventually,
    importable,
)


async def listening(runtime: ProcessRuntime, instance_id: str, port: int) -> None:
    await eventually(lambda: runtime.listening(instance_id), lambda ports: ports == (port,))


def pids(kernel: TestKernel, instance_id: str) -> list[int]:
    return Supervised(kernel.home / "process" / instance_id / "run").pids()


async def test_life_of_an_instance(
    runtime: ProcessRuntime, kernel: TestKernel, spec: MakeSpec
) -> None:
    instance = await runtime.start(spec(labels={"project": "p"}))
    assert (instance.host, instance.service_id) == ("127.0.0.1", "service")
    assert 20000 <= instance.port <= 29999
    await listening(runtime, "web-1", instance.port)
    seen = await runtime.observe("web-1")
    assert (seen.status, seen.reason, seen.restarts) == (InstanceStatus.RUNNING, "running", 0)
    assert await runtime.find("web-1") == instance
    assert await runtime.list() == [instance]
    stats = await runtime.stats("web-1")
    assert stats is not None
    assert stats.processes == 1
    assert stats.memory_bytes > 2**20
    assert stats.cpu_seconds > 0
    page = await runtime.logs("web-1", "", 10)
    assert [line.text for line in page.lines] == ["listening"]
    record = json.loads((kernel.home / "process/web-1/instance.json").read_text())
    assert record["labels"] == {"project": "p", "installation": "test-installation"}

    await runtime.stop("web-1", 5)
    assert (await runtime.observe("web-1")).status == InstanceStatus.EXITED
    assert await runtime.find("web-1") == instance
    await runtime.remove("web-1")
    await runtime.remove("web-1")
    assert (await runtime.observe("web-1")).status == InstanceStatus.GONE
    assert await runtime.find("web-1") is None
    assert not (kernel.home / "process/web-1").exists()


async def test_adopted_after_the_control_plane_was_killed(
    runtime: ProcessRuntime, kernel: TestKernel, spec: MakeSpec
) -> None:
    code = (
        "import asyncio, os, pickle, signal, sys\n"
        "from helvetia.plugins.runtimes.process.runtime import ProcessRuntime\n"
        "kernel, spec = pickle.load(sys.stdin.buffer)\n"
        "async def main():\n"
        "    instance = await ProcessRuntime(kernel).start(spec)\n"
        "    print(instance.port, flush=True)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
        "asyncio.run(main())\n"
    )
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-c", code],
        input=pickle.dumps((kernel, spec())),
        stdout=subprocess.PIPE,
        check=False,
        env=importable(),
    )
    assert done.returncode == -signal.SIGKILL
    port = int(done.stdout)
    await listening(runtime, "web-1", port)
    before = pids(kernel, "web-1")
    again = await runtime.start(spec())
    assert again.port == port
    assert pids(kernel, "web-1") == before


async def test_same_id_twice_at_once_is_one_process(
    runtime: ProcessRuntime, kernel: TestKernel, spec: MakeSpec
) -> None:
    other = ProcessRuntime(kernel)
    both = await asyncio.gather(*(one.start(spec()) for one in (runtime, other, runtime, other)))
    assert len(set(both)) == 1
    assert len(pids(kernel, "web-1")) == 1


async def test_concurrent_starts_get_distinct_ports(
    runtime: ProcessRuntime, kernel: TestKernel, spec: MakeSpec
) -> None:
    other = ProcessRuntime(kernel)
    idle = {"web": ["sleep", "600"]}
    instances = await asyncio.gather(
        *((runtime, other)[n % 2].start(spec(f"i-{n}", processes=idle)) for n in range(20))
    )
    assert len({instance.port for instance in instances}) == 20


async def test_taken_ports_are_passed_over_and_exhaustion_is_told(
    tmp_path: Path, spec: MakeSpec
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        kernel = TestKernel(home=tmp_path / "h", values={"first_port": port, "last_port": port})
        with pytest.raises(ReleaseFailed, match=f"no port between {port} and {port} is free"):
            await ProcessRuntime(kernel).start(spec())
    runtime = ProcessRuntime(kernel)
    # The failed start has left nothing that keeps the next one from working.
    instance = await runtime.start(spec())
    assert instance.port == port
    await runtime.remove("web-1")


@pytest.mark.parametrize("point", ["folder", "record", "partial copy", "copy"])
async def test_start_finishes_what_a_killed_one_began(
    runtime: ProcessRuntime, kernel: TestKernel, spec: MakeSpec, point: str
) -> None:
    folder = kernel.home / "process/web-1"
    instance = await runtime.start(spec())
    await runtime.stop("web-1", 1)
    record = (folder / "instance.json").read_bytes()
    await runtime.remove("web-1")
    folder.mkdir()
    (folder / "lock").touch()
    if point != "folder":
        (folder / "instance.json").write_bytes(record)
    if point == "partial copy":
        (folder / "work.partial").mkdir()
        (folder / "work.partial" / "half").write_text("half")
    if point == "copy":
        (folder / "work").mkdir()
        (folder / "work" / "server.py").write_text(SERVER)
    again = await runtime.start(spec())
    if point != "folder":
        assert again.port == instance.port
    await listening(runtime, "web-1", again.port)
    assert not (folder / "work" / "half").exists()


async def test_working_copy_is_its_own(
    runtime: ProcessRuntime, kernel: TestKernel, spec: MakeSpec, tmp_path: Path
) -> None:
    (tmp_path / "artifact" / "link").symlink_to("server.py")
    write = {"web": ["{python}", "-u", "-c", "open('made', 'w'); import time; time.sleep(600)"]}
    await runtime.start(spec("a", processes=write))
    work = kernel.home / "process/a/work"

    async def made() -> bool:
        return (work / "made").exists()

    await eventually(made, bool)
    assert not (tmp_path / "artifact" / "made").exists()
    assert (work / "link").readlink() == Path("server.py")
    await runtime.start(spec("b", read_only=True))
    assert not (kernel.home / "process/b/work").exists()


async def test_expansion_and_search_path(
    runtime: ProcessRuntime, spec: MakeSpec, tmp_path: Path
) -> None:
    tool = tmp_path / "artifact" / "bin" / "tool"
    tool.write_text('#!/bin/sh\necho "own $1 $2 $3 $4 $HOME"\nexec sleep 600\n')
    tool.chmod(0o755)
    command = ["tool", "$GREETING-${GREETING}", "${NONE:-fallback}", "{workdir}/x", "a;b$NONE"]
    await runtime.start(
        spec(
            processes={"web": command},
            environment={"GREETING": "hi {workdir} $HOME", "PATH": "{workdir}/bin"},
        )
    )
    page = await eventually(lambda: runtime.logs("web-1", "", 10), lambda page: page.lines)
    work = str(tmp_path / "home/process/web-1/work")
    greeting = f"hi {work} $HOME"
    expected = f"own {greeting}-{greeting} fallback {work}/x a;b {work}"
    assert page.lines[0].text == expected


def test_expand_is_done_once() -> None:
    environment = {"A": "$B {python}", "B": "b", "EMPTY": ""}
    assert expand("$A|${B}|${EMPTY:-d}|${NO}|$1|{other}", environment, Path("/w")) == (
        "$B {python}|b|d||$1|{other}"
    )
    assert expand("{python}", {}, Path("/w")) == sys.executable


@pytest.mark.parametrize(
    ("processes", "message"),
    [
        ({"web": ["no-such-program"]}, "process `web`: there is no program `no-such-program`"),
        ({"web": ["./bin/none"]}, "process `web`: there is no program `./bin/none`"),
        ({"web": []}, "the release has no process `web`"),
        ({"web": ["./bin/odd"]}, "process `web` cannot be started: .*bin/odd: No such file"),
    ],
)
async def test_what_cannot_start_is_told_and_leaves_nothing(
    runtime: ProcessRuntime,
    kernel: TestKernel,
    spec: MakeSpec,
    tmp_path: Path,
    processes: dict[str, list[str]],
    message: str,
) -> None:
    odd = tmp_path / "artifact" / "bin" / "odd"
    odd.write_text("#!/no/such/interpreter\n")
    odd.chmod(0o755)
    with pytest.raises(ReleaseFailed, match=message) as caught:
        await runtime.start(spec(processes=processes))
    assert caught.value.hint
    assert await runtime.list() == []
    assert not (kernel.home / "process/web-1").exists()


async def test_crash_loop_is_observed(runtime: ProcessRuntime, spec: MakeSpec) -> None:
    crash = {"web": ["{python}", "-c", "raise SystemExit(4)"]}
    await runtime.start(spec(processes=crash))
    seen = await eventually(
        lambda: runtime.observe("web-1"), lambda seen: seen.status == InstanceStatus.CRASH_LOOP
    )
    assert seen.exit_code == 4
    assert "exited with code 4" in seen.reason


async def test_memory_limit_is_observed(runtime: ProcessRuntime, spec: MakeSpec) -> None:
    eat = "import time\nb = []\nwhile True: b.append(b'x' * 2**20); time.sleep(0.005)"
    await runtime.start(
        spec(processes={"web": ["{python}", "-c", eat]}, limits=ResourceLimits(memory_mb=64))
    )
    seen = await eventually(lambda: runtime.observe("web-1"), lambda seen: seen.out_of_memory)
    assert "memory limit 64 MB reached" in seen.reason


async def test_connections_are_counted_once(runtime: ProcessRuntime, spec: MakeSpec) -> None:
    instance = await runtime.start(spec())
    await listening(runtime, "web-1", instance.port)
    assert await runtime.connections("web-1") == 0
    address = (instance.host, instance.port)
    clients = [socket.create_connection(address) for _ in range(3)]
    assert await runtime.connections("web-1") == 3
    for client in clients[:2]:
        client.close()
    await eventually(lambda: runtime.connections("web-1"), lambda count: count == 1)
    clients[2].close()
    assert await runtime.connections("other") is None


async def test_secrets_stay_out_of_the_folder(
    runtime: ProcessRuntime, kernel: TestKernel, spec: MakeSpec
) -> None:
    secret = "very-s3cret-value"
    instance = await runtime.start(spec(environment={"KEY": secret}))
    await listening(runtime, "web-1", instance.port)
    files = [path for path in (kernel.home / "process").rglob("*") if path.is_file()]
    assert files
    assert not [path for path in files if secret.encode() in path.read_bytes()]
    found = await asyncio.create_subprocess_exec(
        "ps", "-eo", "args", stdout=asyncio.subprocess.PIPE
    )
    out, _ = await found.communicate()
    assert b"server.py" in out
    assert secret.encode() not in out


async def test_foreign_folders_are_left_alone(
    runtime: ProcessRuntime, kernel: TestKernel, spec: MakeSpec
) -> None:
    theirs = kernel.home / "process/theirs"
    theirs.mkdir()
    record = {"id": "theirs", "installation": "somebody-else", "service_id": "s"}
    record |= {"release_id": "r", "port": 1, "labels": {}}  # type: ignore[dict-item]
    (theirs / "instance.json").write_text(json.dumps(record))
    before = sorted(path.name for path in theirs.iterdir())
    assert await runtime.list() == []
    assert await runtime.find("theirs") is None
    await runtime.stop("theirs", 1)
    await runtime.remove("theirs")
    with pytest.raises(ReleaseFailed, match="belongs to somebody else"):
        await runtime.start(spec("theirs"))
    assert set(before) <= {path.name for path in theirs.iterdir()}
    assert json.loads((theirs / "instance.json").read_text()) == record


@pytest.mark.parametrize("bad", ["../up", "", "a/b", ".hidden", "x" * 300])
async def test_ids_cannot_lead_elsewhere(runtime: ProcessRuntime, spec: MakeSpec, bad: str) -> None:
    with pytest.raises(InvalidInput):
        await runtime.start(spec(bad))
    with pytest.raises(InvalidInput):
        await runtime.remove(bad)


async def test_check_says_what_limits_and_that_nothing_isolates(runtime: ProcessRuntime) -> None:
    check = await runtime.check()
    assert check.ok
    assert check.reason.startswith("plain processes, limits by ")
    for limit in ("memory", "pids", "cpu"):
        assert limit in check.reason
    assert "does not isolate" in check.reason


def test_hooks_offer_runtime_and_settings(kernel: TestKernel) -> None:
    from helvetia.plugins.runtimes import process

    assert [section.name for section in process.helvetia_settings()] == ["process"]
    assert [runtime.name for runtime in process.helvetia_runtimes(kernel)] == ["process"]
    assert os.path.exists(kernel.home / "process")
