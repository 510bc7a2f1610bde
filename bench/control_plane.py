"""The price of the platform: its start, its memory, its share of a deployment.

Run: python -m bench.control_plane [repeats]

Each row stands beside the raw tool that does the same without the platform.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import psutil

from bench.tables import Target, judge, show
from tests.e2e.harness import Installation, Repository, free_port, until

# What was begun before it is idle has ended by then.
SETTLE_SECONDS = 5.0
IDLE_SECONDS = 10.0
# As on a person's machine, where Python keeps what it has compiled.
COMPILED = {"PYTHONDONTWRITEBYTECODE": ""}
ALL_MEMORY = "idle memory of all but Traefik and apps (PSS)"
START = "start that adopts a running proxy"
LATER = "later start"
OVERHEAD = "overhead for {} until live"


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


def cpu_of(process: psutil.Process) -> float:
    times = process.cpu_times()
    return times.user + times.system


def children_cpu(work: Callable[[], object]) -> float:
    """Return the CPU seconds of the programs that the work runs to their end."""
    before = os.times()
    work()
    after = os.times()
    return (
        after.children_user + after.children_system - before.children_user - before.children_system
    )


def start(platform: Installation, number: signal.Signals) -> tuple[float, float]:
    """Start the platform, end it with a signal; return seconds until ready, and CPU seconds."""
    began = time.perf_counter()
    platform.up()
    taken = time.perf_counter() - began
    assert platform.process is not None
    used = cpu_of(psutil.Process(platform.process.pid))
    platform.end(number)
    return taken, used


def starts(folder: Path, repeats: int) -> list[list[object]]:
    imports = [sys.executable, "-c", "import aiohttp.web"]
    raw = median(repeats, lambda: raw_traefik(folder)) + median(repeats, lambda: seconds(*imports))
    raw_cpu = median(repeats, lambda: children_cpu(lambda: seconds(*imports)))
    fresh = [start(_fresh(folder / f"fresh-{number}"), signal.SIGINT) for number in range(repeats)]
    platform = Installation(folder / "again", **COMPILED)
    start(platform, signal.SIGINT)
    again = [start(platform, signal.SIGINT) for _ in range(repeats)]
    start(platform, signal.SIGTERM)
    adopting = [start(platform, signal.SIGTERM) for _ in range(repeats)]
    platform.tear_down()
    rows: list[list[object]] = []
    for what, found in (
        ("first start, new data folder", fresh),
        (LATER, again),
        (START, adopting),
    ):
        took, used = (statistics.median(values) for values in zip(*found, strict=True))
        rows.append([what, "s", took, "Traefik alone + import aiohttp", raw, took / raw])
        rows.append([f"{what}, CPU", "s", used, "import aiohttp", raw_cpu, used / raw_cpu])
    return rows


def _fresh(home: Path) -> Installation:
    """Return an installation that has to make its own tables, where tests are given them."""
    home.mkdir(mode=0o700)
    return Installation(home, **COMPILED)


def idle(platform: Installation) -> list[list[object]]:
    """Look at the platform while it has one service and nothing to do."""
    assert platform.process is not None
    process = psutil.Process(platform.process.pid)
    traefik = psutil.Process(platform.traefik()["pid"])
    time.sleep(SETTLE_SECONDS)
    before, raw_before = cpu_of(process), cpu_of(traefik)
    time.sleep(IDLE_SECONDS)
    used, raw = cpu_of(process) - before, cpu_of(traefik) - raw_before
    memory, beside = process.memory_info().rss / 2**20, traefik.memory_info().rss / 2**20
    whole = platform_memory(platform)
    return [
        [
            "idle memory of the control plane (RSS)",
            "MiB",
            memory,
            "Traefik",
            beside,
            memory / beside,
        ],
        [ALL_MEMORY, "MiB", whole, "Traefik", beside, whole / beside],
        [
            "idle processor",
            "% of a core",
            100 * used / IDLE_SECONDS,
            "Traefik",
            100 * raw / IDLE_SECONDS,
            used / raw if raw else "",
        ],
    ]


def platform_memory(platform: Installation) -> float:
    """Return the MiB of all that the platform needs itself: not Traefik, not people's apps.

    What processes share is divided among them (PSS), so that it is counted once.
    """
    apps = [platform.traefik()["pid"]]
    for service in platform.api("GET", "services")["items"]:
        instances = platform.service(service["name"])["instances"]
        apps += [platform.supervised(one["id"])["pid"] for one in instances]
    total = 0
    for line in platform.processes():
        pid = int(line.partition(":")[0])
        with contextlib.suppress(psutil.NoSuchProcess):
            if pid not in apps and not {p.pid for p in psutil.Process(pid).parents()} & set(apps):
                total += psutil.Process(pid).memory_full_info().pss
    return total / 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """A static site: so many pages, copied as they are or made by a build command."""

    pages: int
    is_built: bool = False

    @property
    def name(self) -> str:
        return f"{'built' if self.is_built else 'site'}-{self.pages}"

    def make(self, folder: Path) -> Repository:
        repository = Repository(folder)
        page = "<p>page {number}</p>" * 50
        files = {f"pages/{n}.html": page.format(number=n) for n in range(self.pages)}
        if self.is_built:
            files = {"build.py": _BUILD.format(pages=self.pages, page=page)}
        repository.commit("a site", {"index.html": "<h1>hello</h1>", **files})
        return repository

    def raw(self, repository: Repository, target: str) -> float:
        """Clone and build without the platform; return the seconds."""
        url = f"file://{repository.folder}"
        cloned = seconds("git", "clone", "-q", "--depth", "1", url, target)
        if self.is_built:
            return cloned + seconds(*_BUILDING, f"{target}/build.py")
        return cloned + seconds("cp", "-a", target, f"{target}-built")


SITES = (Site(pages=10), Site(pages=1000), Site(pages=1000, is_built=True))
_BUILDING = ("/usr/bin/env", "python3")
_BUILD = """
from pathlib import Path
out = Path(__file__).parent / "out"
out.mkdir()
for number in range({pages}):
    (out / f"{{number}}.html").write_text(f{page!r})
(out / "index.html").write_bytes((out.parent / "index.html").read_bytes())
"""


def deployments(platform: Installation, folder: Path, repeats: int) -> list[list[object]]:
    rows: list[list[object]] = []
    for site in SITES:
        repository = site.make(folder / site.name)
        clones = [f"{repository.folder}-clone-{number}" for number in range(repeats)]
        raw = statistics.median(site.raw(repository, clone) for clone in clones)
        options = ["--set", "build_command=python3 build.py", "--set", "output=out"]
        options = options if site.is_built else []
        walls, inside, until_live = [], [], []
        for number in range(repeats + 1):
            repository.commit(f"change {number}", {"index.html": f"<h1>{number}</h1>"})
            began = time.perf_counter()
            made = platform.json("deploy", str(repository.folder), "--name", site.name, *options)
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
            beside = "git clone + build" if site.is_built else "git clone + cp"
            rows.append([f"redeploy of {site.name}, {what}", "s", took, beside, raw, took / raw])
        over = statistics.median(until_live) - raw
        rows.append([OVERHEAD.format(site.name), "s", over, "", "", ""])
    return rows


def calls(platform: Installation, repeats: int) -> list[list[object]]:
    bare = [sys.executable, "-c", "pass"]
    wall, raw_wall = (
        median(repeats, lambda: _listing(platform)),
        median(repeats, lambda: seconds(*bare)),
    )
    cpu = median(repeats, lambda: children_cpu(lambda: _listing(platform)))
    raw_cpu = median(repeats, lambda: children_cpu(lambda: seconds(*bare)))
    return [
        ["helvetia services", "s", wall, "python -c pass", raw_wall, wall / raw_wall],
        ["helvetia services, CPU", "s", cpu, "python -c pass", raw_cpu, cpu / raw_cpu],
    ]


def _listing(platform: Installation) -> float:
    began = time.perf_counter()
    # Not as tests run it, which has been loaded before.
    with platform.begin("services") as command:
        command.communicate()
    assert command.returncode == 0
    return time.perf_counter() - began


def main(repeats: int) -> int:
    with tempfile.TemporaryDirectory(prefix="helvetia-bench-") as name:
        folder = Path(name)
        rows = starts(folder, repeats)
        platform = Installation(folder / "home", **COMPILED)
        try:
            platform.up()
            rows += deployments(platform, folder, repeats)
            rows += calls(platform, repeats)
            rows += idle(platform)
        finally:
            platform.tear_down()
    show(("what", "unit", "Helvetia", "beside", "raw", "ratio"), rows)
    found = {str(row[0]): row[2] for row in rows}
    wanted = {
        ALL_MEMORY: 120.0,
        LATER: 1.5,
        START: 1.5,
        **{OVERHEAD.format(site.name): 1.5 for site in SITES},
    }
    units = {str(row[0]): str(row[1]) for row in rows}
    return judge(
        [
            Target(what=what, unit=units[what], measured=float(str(found[what])), at_most=limit)
            for what, limit in wanted.items()
        ]
    )


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 3))
