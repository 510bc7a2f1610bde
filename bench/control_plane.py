"""The price of the platform: its start, its memory, its share of a deployment.

Run: python -m bench.control_plane [repeats]

Each row stands beside the raw tool that does the same without the platform.
"""

from __future__ import annotations

import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import psutil

from bench.tables import show
from tests.e2e.harness import Installation, Repository, free_port, until

IDLE_SECONDS = 10.0


def median(repeats: int, work: Callable[[], float]) -> float:
    return statistics.median(work() for _ in range(repeats))


def seconds(*argv: str) -> float:
    began = time.perf_counter()
    subprocess.run(argv, check=True, capture_output=True)
    return time.perf_counter() - began


def accepts(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def raw_traefik(folder: Path) -> float:
    """Start Traefik alone and wait until it listens."""
    binary = Path(sys.executable).with_name("traefik")
    port = free_port()
    began = time.perf_counter()
    process = subprocess.Popen(
        [binary, f"--entrypoints.web.address=127.0.0.1:{port}",
         f"--providers.file.directory={folder}"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        until("Traefik listens", lambda: accepts(port))
        return time.perf_counter() - began
    finally:
        process.kill()
        process.wait()


def start(platform: Installation, number: signal.Signals) -> float:
    """Start the platform, wait until it is ready, and end it with a signal."""
    began = time.perf_counter()
    platform.up()
    taken = time.perf_counter() - began
    platform.end(number)
    return taken


def starts(folder: Path, repeats: int) -> list[list[object]]:
    traefik = median(repeats, lambda: raw_traefik(folder))
    python = median(repeats, lambda: seconds(sys.executable, "-c", "import aiohttp.web"))
    fresh = []
    for number in range(repeats):
        platform = Installation(folder / f"fresh-{number}")
        fresh.append(start(platform, signal.SIGINT))
    again = median(repeats, lambda: start(platform, signal.SIGINT))
    platform.up()
    platform.end(signal.SIGTERM)
    adopting = median(repeats, lambda: start(platform, signal.SIGTERM))
    platform.tear_down()
    raw = traefik + python
    rows = (
        ("first start, new data folder", statistics.median(fresh)),
        ("later start", again),
        ("start that adopts a running proxy", adopting),
    )
    name = "Traefik alone + import aiohttp"
    return [[what, "s", took, name, raw, took / raw] for what, took in rows]


def idle(platform: Installation) -> list[list[object]]:
    """Look at the platform while it has one service and nothing to do."""
    assert platform.process is not None
    process = psutil.Process(platform.process.pid)
    traefik = psutil.Process(platform.traefik()["pid"])
    time.sleep(2)
    before = process.cpu_times()
    time.sleep(IDLE_SECONDS)
    after = process.cpu_times()
    used = after.user + after.system - before.user - before.system
    memory, beside = process.memory_info().rss / 2**20, traefik.memory_info().rss / 2**20
    return [
        ["idle memory (RSS)", "MiB", memory, "Traefik", beside, memory / beside],
        ["idle processor", "% of a core", 100 * used / IDLE_SECONDS, "", "", ""],
    ]


def site(folder: Path, files: int) -> Repository:
    repository = Repository(folder)
    pages = {f"pages/{number}.html": f"<p>page {number}</p>" * 50 for number in range(files)}
    repository.commit("a site", {"index.html": "<h1>hello</h1>", **pages})
    return repository


def deployments(platform: Installation, folder: Path, repeats: int) -> list[list[object]]:
    rows: list[list[object]] = []
    for files in (10, 1000):
        repository = site(folder / f"site-{files}", files)
        count = iter(range(1000))

        def clone(repository: Repository = repository, count: object = count) -> float:
            target = f"{repository.folder}-clone-{next(count)}"  # type: ignore[call-overload]
            url = f"file://{repository.folder}"
            return seconds("git", "clone", "-q", "--depth", "1", url, target)

        raw = median(repeats, clone)
        name = f"site-{files}"
        walls, inside, until_live = [], [], []
        for number in range(repeats + 1):
            repository.commit(f"change {number}", {"index.html": f"<h1>{number}</h1>"})
            began = time.perf_counter()
            made = platform.json("deploy", str(repository.folder), "--name", name)
            if not number:
                continue  # the first one has no former version to drain
            walls.append(time.perf_counter() - began)
            asked = datetime.fromisoformat(made["created_at"])
            stages = {stage["name"]: stage for stage in made["stages"]}
            switched = datetime.fromisoformat(stages["activate"]["finished_at"])
            inside.append((datetime.fromisoformat(made["finished_at"]) - asked).total_seconds())
            until_live.append((switched - asked).total_seconds())
        for what, values in (
            ("until it is live", until_live),
            ("with drain and retire", inside),
            ("of the whole command", walls),
        ):
            took = statistics.median(values)
            what = f"redeploy of {files} pages, {what}"
            rows.append([what, "s", took, "git clone --depth 1", raw, took / raw])
    python = median(repeats, lambda: seconds(sys.executable, "-c", "pass"))
    command = median(repeats, lambda: _listing(platform))
    rows.append(["helvetia services", "s", command, "python -c pass", python, command / python])
    return rows


def _listing(platform: Installation) -> float:
    began = time.perf_counter()
    platform.run("services")
    return time.perf_counter() - began


def main(repeats: int) -> None:
    with tempfile.TemporaryDirectory(prefix="helvetia-bench-") as name:
        folder = Path(name)
        rows = starts(folder, repeats)
        platform = Installation(folder / "home")
        try:
            platform.up()
            rows += deployments(platform, folder, repeats)
            rows += idle(platform)
        finally:
            platform.tear_down()
    show(("what", "unit", "Helvetia", "beside", "raw", "ratio"), rows)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 3)
