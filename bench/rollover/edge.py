"""Kill Traefik under load, at rest and in the middle of rollovers, and see it come back."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from dataclasses import dataclass

from tests.e2e.harness import Installation, until
from tests.e2e.looking import stage

from .behaviours import DROPS
from .judging import MIXED_SECONDS, Verdict, judge
from .site import PATIENCE, Rollover, Site

LONGEST_GAP_SECONDS = 5.0
# The load goes on so long after Traefik is back: a failure then is none of the gap.
AFTERWARDS_SECONDS = 3.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Death:
    """When Traefik is killed.

    Attributes:
        stage: the stage of a rollover, empty for at rest.
        supervisor: its supervisor dies, and Traefik with it: then the control plane must notice.
        alone: the control plane is dead meanwhile.
    """

    name: str
    stage: str = ""
    supervisor: bool = False
    alone: bool = False


DEATHS = (
    Death(name="at rest"),
    Death(name="at rest, control plane dead", alone=True),
    Death(name="before the switch", stage="probe"),
    Death(name="in the drain", stage="drain"),
    Death(name="in the retirement", stage="retire"),
    Death(name="its supervisor, at rest", supervisor=True),
    Death(name="its supervisor, before the switch", stage="probe", supervisor=True),
)


async def kill(
    platform: Installation,
    site: Site,
    death: Death,
    *,
    rate: float,
    mixed_seconds: float = MIXED_SECONDS,
) -> Verdict:
    """Kill Traefik once."""
    load = site.load(rate)
    rollovers: list[Rollover] = []
    async with load.running():
        await asyncio.sleep(0.5)
        if death.alone:
            await asyncio.to_thread(platform.end, signal.SIGKILL)
        if not death.stage:
            killed = await asyncio.to_thread(_kill, platform, death)
        else:
            new = await asyncio.to_thread(site.commit, DROPS)
            made = await asyncio.to_thread(site.begin)
            await asyncio.to_thread(_reach, platform, site, death.stage)
            killed = await asyncio.to_thread(_kill, platform, death)
            ended = await asyncio.to_thread(site.ended, made)
            rollovers.append(site.seen(new, DROPS, ended))
        await asyncio.to_thread(_await_back, platform, site)
        await asyncio.sleep(AFTERWARDS_SECONDS)
        if death.alone:
            await asyncio.to_thread(platform.up)
    verdict = judge(death.name, load, rollovers, mixed_seconds=mixed_seconds, killed=killed)
    if verdict.gap > LONGEST_GAP_SECONDS:
        verdict.wrong.append(f"Traefik was away for {verdict.gap:.1f} s")
    return verdict


def _reach(platform: Installation, site: Site, name: str) -> None:
    until(f"the stage {name} runs", lambda: stage(platform, site.name) == name, seconds=PATIENCE)


def _await_back(platform: Installation, site: Site) -> None:
    host = f"{site.name}.localhost"
    until("Traefik is back", lambda: platform.get(host)[0] == 200, seconds=PATIENCE)


def _kill(platform: Installation, death: Death) -> float:
    state = platform.traefik()
    killed = time.time()
    os.kill(state["shim_pid" if death.supervisor else "pid"], signal.SIGKILL)
    return killed


def new_site(platform: Installation) -> Site:
    """Return a service whose app drops everything on SIGTERM."""
    return Site(platform, "edge")
