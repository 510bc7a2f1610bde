"""Replace versions under load, and hold what came of it against what is promised.

Run: python -m bench.rollover [--docker] [--times N] [--rate N] [plain] [killed] [edge]

`plain` redeploys each kind of app N times; `killed` kills the control plane at every step of a
rollover; `edge` kills Traefik. Without a name all three run. With `--docker` all services are
containers that Traefik finds by their labels. Exits with 1 if anything is wrong.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import sys
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

from bench.tables import show
from tests.docker_engine import running_engine
from tests.e2e.harness import Installation
from tests.e2e.killing import PLACES

from . import edge, plain
from .behaviours import BAD, DROPS, GOOD
from .docker import boxed
from .judging import HEADERS, RULES, Verdict
from .killed import Killed


async def plain_mode(platform: Installation, times: int, rate: float) -> list[Verdict]:
    """Redeploy every kind of app."""
    await asyncio.to_thread(platform.up)
    verdicts = [
        _told(await plain.redeploy(platform, behaviour, times, rate=rate))
        for behaviour in (*GOOD, *BAD)
    ]
    control = await plain.without_drain(platform, 2, rate=rate)
    show(HEADERS, [verdict.row() for verdict in (*verdicts, control)])
    if not control.failed or not 0 < control.told_failed == control.seen_failed:
        verdicts.append(Verdict(control.name, wrong=[f"it must fail, and be told: {control}"]))
    return verdicts


async def killed_mode(platform: Installation, _: int, rate: float) -> list[Verdict]:
    """Kill the control plane everywhere."""
    world = Killed(platform)
    await world.up()
    site = world.site()
    await asyncio.to_thread(site.create, DROPS)
    verdicts = [_told(await world.rollover(site, place, rate=rate)) for place in PLACES]
    show(HEADERS, [verdict.row() for verdict in verdicts])
    return verdicts


async def edge_mode(platform: Installation, _: int, rate: float) -> list[Verdict]:
    """Kill Traefik."""
    await asyncio.to_thread(platform.up)
    site = edge.new_site(platform)
    await asyncio.to_thread(site.create, DROPS)
    verdicts = [_told(await edge.kill(platform, site, death, rate=rate)) for death in edge.DEATHS]
    rows = [
        [one.name, one.rollovers, one.requests, one.gap, one.excused, one.failed]
        for one in verdicts
    ]
    headers = ("Traefik killed", "redeploys", "requests", "gap s", "failed in it", "outside of it")
    show(headers, rows)
    return verdicts


MODES: dict[str, Callable[[Installation, int, float], Awaitable[list[Verdict]]]] = {
    "plain": plain_mode,
    "killed": killed_mode,
    "edge": edge_mode,
}


def _told(verdict: Verdict) -> Verdict:
    told = "; ".join(verdict.wrong) or "good"
    print(f"  {verdict.name}: {told}", file=sys.stderr, flush=True)
    return verdict


@contextlib.contextmanager
def _platform(folder: Path, *, docker: bool) -> Iterator[Installation]:
    if docker:
        with running_engine() as engine, boxed(folder, engine) as platform:
            yield platform
        return
    platform = Installation(folder / "home")
    try:
        yield platform
    finally:
        platform.tear_down()


async def main(modes: list[str], times: int, rate: float, *, docker: bool) -> int:
    wrong = []
    print(RULES)
    for mode in modes:
        print(f"{mode}, {rate:g} requests a second", flush=True)
        with (
            tempfile.TemporaryDirectory(prefix="helvetia-bench-") as folder,
            _platform(Path(folder), docker=docker) as platform,
        ):
            verdicts = await MODES[mode](platform, times, rate)
        found = [f"{one.name}: {what}" for one in verdicts for what in one.wrong]
        rollovers = sum(one.rollovers for one in verdicts)
        requests = sum(one.requests for one in verdicts)
        print(f"{rollovers} redeploys, {requests} requests, {len(found)} faults")
        for what in found:
            print(f"  ✗ {what}")
        print(flush=True)
        wrong += found
    return bool(wrong)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m bench.rollover")
    parser.add_argument("modes", nargs="*", help=", ".join(MODES))
    parser.add_argument("--times", type=int, default=5, help="redeploys of each app")
    parser.add_argument("--rate", type=float, default=120, help="requests a second")
    parser.add_argument("--docker", action="store_true", help="all services are containers")
    given = parser.parse_args()
    if unknown := set(given.modes) - set(MODES):
        parser.error(f"there is no mode {', '.join(sorted(unknown))}")
    chosen = given.modes or list(MODES)
    sys.exit(asyncio.run(main(chosen, given.times, given.rate, docker=given.docker)))
