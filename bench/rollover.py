"""Redeploy under a steady, mixed load: requests, failures, and what the receipts say.

Run: python -m bench.rollover [redeploys of each app] [requests a second]

The last row is the control: the same app, restarted in place. It must show failures, or the
load would not notice any.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.tables import show
from tests.e2e import apps
from tests.e2e.harness import Installation, Repository
from tests.e2e.load import Load, switch_window

BEHAVIOURS: dict[str, dict[str, object]] = {
    "fast": {},
    "slow-start": {"start-seconds": 3},
    "first-503": {"503-seconds": 3},
    "ignores-sigterm": {"ignore-sigterm": 1},
    "closes-on-sigterm": {"close-on-sigterm": 1},
}
HEADERS = (
    "app", "redeploys", "requests", "failed", "versions mixed ms", "redeploy s",
    "receipts: requests", "seen", "receipts: failed",
)  # fmt: skip


@dataclass(slots=True)
class Tally:
    """What several redeploys of one app came to."""

    redeploys: int = 0
    requests: int = 0
    failed: int = 0
    mixed: float = 0.0
    seconds: float = 0.0
    told: int = 0
    told_failed: int = 0
    seen: int = 0
    problems: dict[str, int] = field(default_factory=dict)

    def add(self, load: Load) -> None:
        """Count what the client saw."""
        self.requests += len(load.answers)
        self.failed += len(load.failed)
        for problem, count in load.problems.items():
            self.problems[problem] = self.problems.get(problem, 0) + count

    def row(self, name: str) -> list[object]:
        """Return a row of the table."""
        mean = self.seconds / self.redeploys if self.redeploys else 0.0
        return [
            name, self.redeploys, self.requests, self.failed, round(self.mixed * 1000), mean,
            self.told, self.seen, self.told_failed,
        ]  # fmt: skip


async def redeploy(
    platform: Installation, name: str, behaviour: dict[str, object], times: int, rate: float
) -> Tally:
    """Redeploy one app again and again."""
    tally = Tally()
    repository = Repository(platform.home.parent / name)
    repository.commit("v0", apps.server("v0", behaviour))
    command = ("deploy", str(repository.folder), "--name", name, "--health", "/")
    await asyncio.to_thread(platform.run, *command)
    for number in range(1, times + 1):
        former, new = f"v{number - 1}", f"v{number}"
        repository.commit(new, apps.server(new, behaviour))
        load = Load(platform.edge_port, f"{name}.localhost", rate=rate)
        loop = asyncio.get_running_loop()
        async with load.running():
            await asyncio.sleep(0.5)
            began = loop.time()
            deployment: dict[str, Any] = await asyncio.to_thread(platform.json, *command)
            tally.seconds += loop.time() - began
            await asyncio.sleep(0.5)
        tally.redeploys += 1
        tally.add(load)
        tally.mixed = max(tally.mixed, load.mixed_seconds(former, new))
        tally.told += deployment["receipt"]["requests"]
        tally.told_failed += deployment["receipt"]["failed"]
        tally.seen += load.ended_between(*switch_window(deployment))
    return tally


async def restart_in_place(platform: Installation, name: str, rate: float) -> Tally:
    """End an app under load and let its supervisor start it again: no rollover."""
    tally = Tally()
    load = Load(platform.edge_port, f"{name}.localhost", rate=rate)
    async with load.running():
        await asyncio.sleep(1)
        _, pid, _ = await asyncio.to_thread(platform.get, f"{name}.localhost", "/pid")
        os.kill(int(pid), signal.SIGTERM)
        await asyncio.sleep(3)
    tally.add(load)
    return tally


async def main(times: int, rate: float) -> None:
    rows = []
    problems: dict[str, dict[str, int]] = {}
    with tempfile.TemporaryDirectory(prefix="helvetia-bench-") as folder:
        platform = Installation(Path(folder) / "home")
        try:
            await asyncio.to_thread(platform.up)
            for name, behaviour in BEHAVIOURS.items():
                tally = await redeploy(platform, name, behaviour, times, rate)
                rows.append(tally.row(name))
                problems[name] = tally.problems
            tally = await restart_in_place(platform, "fast", rate)
            rows.append(tally.row("(restarted in place)"))
        finally:
            await asyncio.to_thread(platform.tear_down)
    print(f"{rate:g} requests a second, a quarter POST, half on connections of their own")
    show(HEADERS, rows)
    for name, found in problems.items():
        for problem, count in found.items():
            print(f"  {name}: {count} x {problem}")


if __name__ == "__main__":
    asyncio.run(
        main(
            int(sys.argv[1]) if len(sys.argv) > 1 else 3,
            float(sys.argv[2]) if len(sys.argv) > 2 else 100,
        )
    )
