from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from helvetia.kernel.contracts.runtime import RuntimeLog
from helvetia.plugins.supervisor import Supervised, SupervisedSpec, usable_groups

from .conftest import eventually, gone, groups_below, is_alive, kill

Make = Callable[..., SupervisedSpec]
SLEEP = "import time\nprint('up')\ntime.sleep(600)"
DEAF = (
    "import signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
    "print('up')\ntime.sleep(600)"
)


def log_bytes(folder: Path) -> int:
    total = 0
    for path in folder.glob("log.*"):
        with contextlib.suppress(FileNotFoundError):  # rotated away meanwhile
            total += path.stat().st_size
    return total


async def texts(supervised: Supervised) -> list[str]:
    return [line.text for line in (await supervised.logs("", 100_000)).lines]


async def lines(supervised: Supervised, count: int) -> list[str]:
    return await eventually(lambda: texts(supervised), lambda found: len(found) >= count)


def shim_pid(folder: Path) -> int:
    return int(json.loads((folder / "state.json").read_text())["shim_pid"])


async def test_outlives_a_killed_control_plane(
    tmp_path: Path, supervised: Supervised, python: Make
) -> None:
    # The "control plane" dies by SIGKILL while its event loop still runs.
    code = (
        "import asyncio, os, signal, sys\nfrom pathlib import Path\n"
        "from helvetia.plugins.supervisor import Supervised, SupervisedSpec\n"
        "async def main():\n"
        "    state = await Supervised(Path(sys.argv[1]) / 'run').start(SupervisedSpec(\n"
        "        argv=[sys.executable, '-u', '-c', sys.argv[2]], cwd=Path(sys.argv[1]),\n"
        "        environment={}, owner='test:' + sys.argv[1]))\n"
        "    print(state.pid, flush=True)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
        "asyncio.run(main())\n"
    )
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-c", code, str(tmp_path), SLEEP],
        stdout=subprocess.PIPE,
        check=False,
    )
    assert done.returncode == -signal.SIGKILL
    pid = int(done.stdout)
    state = await supervised.state()
    assert (state.status, state.pid) == ("running", pid)
    adopted = await supervised.start(python(SLEEP))
    assert adopted.pid == pid
    assert supervised.pids() == [pid]
    assert await lines(supervised, 1) == ["up"]


async def test_concurrent_starts_give_one_program(tmp_path: Path, python: Make) -> None:
    several = [Supervised(tmp_path / "run") for _ in range(8)]
    try:
        states = await asyncio.gather(*(one.start(python(SLEEP)) for one in several))
        assert len({state.pid for state in states}) == 1
        assert len(several[0].pids()) == 1
    finally:
        await several[0].remove()


async def test_crash_is_told_then_back_off_then_crash_loop(
    supervised: Supervised, python: Make
) -> None:
    await supervised.start(python("import sys; print('hello'); sys.exit(3)"))
    state = await eventually(supervised.state, lambda s: s.status == "restarting")
    assert state.exit_code == 3
    assert "exited with code 3 after" in state.reason
    assert "starts again in 0.5 s" in state.reason
    state = await eventually(supervised.state, lambda s: s.status == "crash-loop")
    assert state.restarts >= 2
    assert "exited with code 3" in state.reason
    assert "3 times" in state.reason
    assert "starts again in 2 s" in state.reason
    assert await texts(supervised) == ["hello"] * 3


async def test_it_sleeps_while_there_is_nothing_to_watch(
    tmp_path: Path, supervised: Supervised, python: Make
) -> None:
    crashing = python("raise SystemExit(3)", memory_mb=256, pauses=(2.0, 2.0))
    await supervised.start(crashing)
    await eventually(supervised.state, lambda state: state.status == "restarting")
    shim = psutil.Process(shim_pid(tmp_path / "run"))
    before = sum(shim.cpu_times()[:2])
    await eventually(supervised.state, lambda state: state.restarts)
    assert sum(shim.cpu_times()[:2]) - before < 0.1, "of two seconds"


async def test_signal_is_named(supervised: Supervised, python: Make) -> None:
    await supervised.start(
        python("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", restart=False)
    )
    state = await eventually(supervised.state, lambda s: s.status == "exited")
    assert state.exit_code == -signal.SIGSEGV
    assert "killed by SIGSEGV" in state.reason


async def test_missing_program_is_told_at_once(supervised: Supervised, python: Make) -> None:
    state = await supervised.start(python("", argv=["/no/such/program"]))
    assert state.status == "exited"
    assert state.exit_code == 127
    assert "/no/such/program: No such file" in state.reason
    assert supervised.pids() == []


async def test_graceful_stop(supervised: Supervised, python: Make) -> None:
    code = (
        "import signal, sys, time\n"
        "def end(*_): print('bye'); sys.exit(7)\n"
        "signal.signal(signal.SIGTERM, end)\nprint('up')\ntime.sleep(600)"
    )
    await supervised.start(python(code))
    await lines(supervised, 1)
    await supervised.stop(10)
    state = await supervised.state()
    assert (state.status, state.exit_code) == ("stopped", 7)
    assert await texts(supervised) == ["up", "bye"]


async def test_deaf_program_is_killed_after_the_grace(supervised: Supervised, python: Make) -> None:
    state = await supervised.start(python(DEAF))
    await lines(supervised, 1)
    assert state.pid is not None
    loop = asyncio.get_running_loop()
    begun = loop.time()
    await supervised.stop(0.5)
    assert 0.5 <= loop.time() - begun < 2.5
    assert not is_alive(state.pid)
    state = await supervised.state()
    assert (state.status, state.exit_code) == ("stopped", -signal.SIGKILL)
    assert "did not end on SIGTERM" in state.reason


async def test_escaped_grandchild_is_gone_after_stop(supervised: Supervised, python: Make) -> None:
    # Twice forked, in a session of its own, without the mark: only its descent tells.
    code = (
        "import os, subprocess, sys, time\n"
        "subprocess.Popen([sys.executable, '-c', 'import os, time\\n"
        "if os.fork(): os._exit(0)\\nprint(os.getpid(), flush=True)\\ntime.sleep(600)'],"
        " env={}, start_new_session=True)\n"
        "time.sleep(600)"
    )
    await supervised.start(python(code))
    escaped = int((await lines(supervised, 1))[0])
    assert is_alive(escaped)
    assert escaped in supervised.pids()
    await supervised.stop(5)
    assert not is_alive(escaped)
    assert supervised.pids() == []


async def test_killed_supervisor_takes_the_program_with_it(
    tmp_path: Path, supervised: Supervised, python: Make
) -> None:
    code = (
        "import subprocess, sys, time\n"
        "p = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'],"
        " start_new_session=True)\nprint(p.pid)\ntime.sleep(600)"
    )
    first = await supervised.start(python(code, pids=50))
    escaped = int((await lines(supervised, 1))[0])
    assert first.pid is not None
    kill(shim_pid(tmp_path / "run"))
    await gone(first.pid)
    state = await eventually(supervised.state, lambda s: s.status == "gone")
    assert state.pid is None
    assert "its supervisor was killed" in state.reason
    assert supervised.pids() == [escaped]
    second = await supervised.start(python(SLEEP))
    assert second.status == "running"
    assert second.pid != first.pid
    assert not is_alive(escaped)


async def test_stop_after_the_supervisor_was_killed(
    tmp_path: Path, supervised: Supervised, python: Make
) -> None:
    state = await supervised.start(python(SLEEP, pids=50))
    assert state.pid is not None
    kill(shim_pid(tmp_path / "run"))
    await supervised.stop(1)
    assert not is_alive(state.pid)
    assert (await supervised.state()).status == "stopped"


async def test_frozen_supervisor_is_killed_with_all_it_has(
    tmp_path: Path, supervised: Supervised, python: Make
) -> None:
    state = await supervised.start(python(SLEEP))
    assert state.pid is not None
    os.kill(shim_pid(tmp_path / "run"), signal.SIGSTOP)
    await supervised.stop(0.1)
    assert not is_alive(state.pid)
    assert (await supervised.state()).status == "stopped"


async def test_supervisor_ends_when_its_folder_is_taken_away(
    tmp_path: Path, supervised: Supervised, python: Make
) -> None:
    state = await supervised.start(python(SLEEP))
    assert state.pid is not None
    (tmp_path / "run").rename(tmp_path / "elsewhere")
    await gone(state.pid)


async def test_memory_limit_is_told(supervised: Supervised, python: Make) -> None:
    code = "import time\nb = []\nwhile True: b.append(bytearray(b'x' * 2**20)); time.sleep(0.005)"
    await supervised.start(python(code, memory_mb=64, restart=False))
    state = await eventually(supervised.state, lambda s: s.status == "exited")
    assert state.out_of_memory
    assert state.reason == "memory limit 64 MB reached"
    assert state.exit_code == -signal.SIGKILL
    assert state.limits["memory"] in ("watchdog", "cgroup v1", "cgroup v2")


async def test_process_limit_holds(tmp_path: Path, supervised: Supervised, python: Make) -> None:
    code = (
        "import os, time\n"
        "try:\n"
        "    for n in range(40):\n"
        "        if os.fork() == 0: time.sleep(600)\n"
        "except OSError: print('refused')\n"
        "time.sleep(600)"
    )
    state = await supervised.start(python(code, pids=10, restart=False))
    if state.limits["pids"] == "watchdog":
        state = await eventually(supervised.state, lambda s: s.status == "exited")
        assert state.reason == "process limit 10 reached"
    else:
        assert await lines(supervised, 1) == ["refused"]
        assert len(supervised.pids()) == 10
        assert groups_below(tmp_path)


async def test_processor_limit_holds(supervised: Supervised, python: Make) -> None:
    if "cpu" not in usable_groups():
        pytest.skip("no control group for the processor can be made here")
    code = (
        "import time\nwall = time.monotonic()\nwhile time.process_time() < 0.4: pass\n"
        "print(time.monotonic() - wall)"
    )
    await supervised.start(python(code, cpu=0.25, restart=False))
    await eventually(supervised.state, lambda s: s.status == "exited")
    assert float((await texts(supervised))[0]) > 1.0


async def test_log_keeps_order_and_hard_cases(supervised: Supervised, python: Make) -> None:
    code = (
        "import os\n"
        r"os.write(1, b'caf\xc3\xa9\nbad \xff byte\nnul \x00 here\n\ncr\r\n')" + "\n"
        "os.write(1, b'\\xc3\\xa9' * (2**19) + b'\\n')\n"
        "os.write(2, b'problem\\n')\nos.write(1, b'no end')"
    )
    await supervised.start(python(code, restart=False))
    await eventually(supervised.state, lambda s: s.status == "exited")
    page = await supervised.logs("", 1000)
    out = [line.text for line in page.lines if line.stream == "stdout"]
    assert out[:5] == ["café", "bad \ufffd byte", "nul \ufffd here", "", "cr"]
    assert out[-1] == "no end"
    pieces = out[5:-1]
    assert "".join(pieces) == "é" * 2**19
    assert all(len(piece.encode()) <= 64 * 1024 for piece in pieces)
    assert [line.text for line in page.lines if line.stream == "stderr"] == ["problem"]
    assert (await supervised.logs(page.cursor, 10)).lines == []


async def test_follow_over_rotation_loses_nothing_and_keeps_the_cap(
    tmp_path: Path, supervised: Supervised, python: Make
) -> None:
    cap = 2**20
    code = "import time\nfor n in range(40000):\n    print(f'line {n} ' + 'x' * 40)\n"
    code += "    if n % 500 == 0: time.sleep(0.02)\n"
    await supervised.start(python(code, log_bytes=cap, restart=False))
    seen: list[RuntimeLog] = []
    cursor, dropped, biggest = "", 0, 0
    async with asyncio.timeout(30):
        while True:
            ended = (await supervised.state()).status == "exited"
            page = await supervised.logs(cursor, 100_000)
            seen += page.lines
            cursor, dropped = page.cursor, dropped + page.dropped
            biggest = max(biggest, log_bytes(tmp_path / "run"))
            if ended and not page.lines:
                break
    assert dropped == 0
    assert [int(line.text.split()[1]) for line in seen] == list(range(40000))
    assert int(cursor.split(":")[0]) > 3
    assert biggest <= cap


async def test_slow_reader_is_told_what_it_missed(supervised: Supervised, python: Make) -> None:
    code = "for n in range(20000): print(f'line {n} ' + 'x' * 40)"
    await supervised.start(python(code, log_bytes=2**18, restart=False))
    await eventually(supervised.state, lambda s: s.status == "exited")
    page = await supervised.logs("", 100_000)
    assert page.dropped > 0
    assert page.dropped + len(page.lines) == 20000
    assert page.lines[0].text.startswith(f"line {page.dropped} ")
    assert page.lines[-1].text.startswith("line 19999 ")


async def test_flood_is_bounded(tmp_path: Path, supervised: Supervised, python: Make) -> None:
    await supervised.start(python("while True: print('y' * 100)", log_bytes=2**20))
    folder = tmp_path / "run"

    async def generation() -> int:
        return max(int(path.name[4:]) for path in folder.glob("log.*"))

    await eventually(generation, lambda n: n >= 8)
    assert log_bytes(folder) <= 2**20
    assert psutil.Process(shim_pid(folder)).memory_info().rss < 24 * 2**20
    await supervised.stop(1)
    assert (await supervised.state()).status == "stopped"


async def test_log_goes_on_after_a_restart(supervised: Supervised, python: Make) -> None:
    await supervised.start(python("print('one')", restart=False))
    await eventually(supervised.state, lambda s: s.status == "exited")
    first = await supervised.logs("", 10)
    await supervised.start(python("print('two')", restart=False))
    await eventually(supervised.state, lambda s: s.status == "exited")
    second = await supervised.logs(first.cursor, 10)
    assert [line.text for line in second.lines] == ["two"]


async def test_environment_is_complete_and_nowhere_to_be_read(
    tmp_path: Path, supervised: Supervised, python: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PLATFORM_SECRET", "platform-s3cret")
    secret = "tenant-s3cret-value"
    code = "import os, time\nprint(len(os.environ['KEY']), 'PLATFORM_SECRET' in os.environ)\n"
    await supervised.start(python(code + "time.sleep(600)", environment={"KEY": secret}))
    assert await lines(supervised, 1) == [f"{len(secret)} False"]
    folder = tmp_path / "run"
    for path in folder.rglob("*"):
        assert secret.encode() not in path.read_bytes()
    shim = psutil.Process(shim_pid(folder))
    told = f"{shim.cmdline()} {shim.environ()}"
    assert secret not in told
    assert "platform-s3cret" not in told


async def test_unknown_folder(tmp_path: Path) -> None:
    unknown = Supervised(tmp_path / "nothing")
    assert (await unknown.state()).status == "gone"
    assert unknown.pids() == []
    assert (await unknown.logs("", 10)).lines == []
    await unknown.stop(1)
    await unknown.remove()
    assert not (tmp_path / "nothing").exists()


async def test_reused_pid_is_not_taken_for_the_supervisor(
    tmp_path: Path, supervised: Supervised, python: Make
) -> None:
    await supervised.start(python(SLEEP))
    shim = shim_pid(tmp_path / "run")
    kill(shim)
    await gone(shim)
    path = tmp_path / "run" / "state.json"
    bystander = await asyncio.create_subprocess_exec("sleep", "600")
    try:
        path.write_text(json.dumps({**json.loads(path.read_text()), "shim_pid": bystander.pid}))
        assert (await supervised.state()).status == "gone"
        await supervised.stop(0.1)
        assert is_alive(bystander.pid)
    finally:
        bystander.kill()
        await bystander.wait()
