"""Kill -9 the control plane at random moments of redeploys, under load.

Run: python -m bench.kills [rounds] [seed]

Whatever the moment, each deployment must end LIVE with the new version, no request may fail and
nothing may be left. Exits with 1 if not.
"""

from __future__ import annotations

import asyncio
import random
import signal
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.rollover.load import Load
from bench.tables import show
from tests.e2e import apps
from tests.e2e.harness import Installation, Repository, until

NAME = "web"
RATE = 50.0
# A restart builds nothing: its kills fall more often into the short stages of the rollover.
LONGEST_SECONDS = {"deploy": 5.0, "restart": 2.0}


@dataclass(slots=True)
class Found:
    """What the rounds showed, by the stage in which the control plane was killed."""

    kills: dict[str, int] = field(default_factory=dict)
    slowest: dict[str, float] = field(default_factory=dict)
    requests: int = 0
    wrong: list[str] = field(default_factory=list)


def stage_of(deployment: dict[str, Any]) -> str:
    """Return the stage a deployment is in, or its status."""
    running = [stage["name"] for stage in deployment["stages"] if stage["status"] == "RUNNING"]
    return str(running[0] if running else deployment["status"])


def one_round(platform: Installation, action: str, delay: float, found: Found) -> None:
    """Redeploy, kill, start again, and wait for the end."""
    made = platform.api("POST", f"services/{NAME}/deployments", {"action": action})
    path = f"deployments/{made['id']}"
    time.sleep(delay)
    stage = stage_of(platform.api("GET", path))
    platform.end(signal.SIGKILL)
    began = time.monotonic()
    platform.up()

    def end() -> Any:
        now = platform.api("GET", path)
        return now if now["status"] not in ("QUEUED", "RUNNING") else None

    ended = until("the deployment ends", end, seconds=90)
    found.kills[stage] = found.kills.get(stage, 0) + 1
    seconds = time.monotonic() - began
    found.slowest[stage] = max(seconds, found.slowest.get(stage, 0.0))
    label = f"{action} killed in {stage} after {delay:.2f} s"
    if ended["status"] != "LIVE":
        found.wrong.append(f"{label}: {ended['status']} {ended['reason']}")

    def settled() -> bool:
        service = platform.service(NAME)
        releases = [instance["release"] for instance in service["instances"]]
        return service["status"] == "ACTIVE" and releases == [ended["release"]]

    try:
        until("only the new version runs", settled, seconds=30)
        until("the work is cleared", lambda: not list((platform.home / "work").glob("*")))
        until("one instance is left", lambda: folders(platform) == 1)
    except AssertionError as problem:
        found.wrong.append(f"{label}: {problem}")


def folders(platform: Installation) -> int:
    return sum(path.name[0] != "." for path in (platform.home / "process").iterdir())


async def main(rounds: int, seed: int) -> int:
    rng = random.Random(seed)
    found = Found()
    with tempfile.TemporaryDirectory(prefix="helvetia-bench-") as folder:
        platform = Installation(Path(folder) / "home")
        repository = Repository(Path(folder) / "app")
        version = "v0"
        repository.commit(version, apps.server(version))
        try:
            await asyncio.to_thread(platform.up)
            command = ("deploy", str(repository.folder), "--name", NAME, "--health", "/")
            await asyncio.to_thread(platform.run, *command)
            for number in range(1, rounds + 1):
                action = "restart" if number % 2 == 0 else "deploy"
                if action == "deploy":
                    version = f"v{number}"
                    repository.commit(version, apps.server(version))
                load = Load(platform.edge_port, f"{NAME}.localhost", rate=RATE)
                delay = rng.uniform(0, LONGEST_SECONDS[action])
                async with load.running():
                    await asyncio.to_thread(one_round, platform, action, delay, found)
                found.requests += len(load.answers)
                for problem, count in load.problems.items():
                    found.wrong.append(f"round {number}: {count} x {problem}")
                last = max(load.answers, key=lambda answer: answer.began)
                if last.version != version:
                    found.wrong.append(f"round {number}: {last.version} answers")
        finally:
            await asyncio.to_thread(platform.tear_down)
    print(
        f"{rounds} kills (seed {seed}) under {RATE:g} requests a second: {found.requests} requests"
    )
    rows = [[stage, count, found.slowest[stage]] for stage, count in sorted(found.kills.items())]
    show(("killed in", "times", "slowest until it ended, s"), rows)
    for problem in found.wrong:
        print(f"  ✗ {problem}")
    return bool(found.wrong)


if __name__ == "__main__":
    arguments = [int(word) for word in sys.argv[1:]]
    sys.exit(asyncio.run(main(*arguments, *(10, 1)[len(arguments) :])))
