"""Redeploy each kind of app again and again."""

from __future__ import annotations

import asyncio

from tests.e2e.harness import Installation

from .behaviours import DROPS, WELL, Behaviour
from .judging import Verdict, judge
from .site import Site


async def redeploy(
    platform: Installation, behaviour: Behaviour, times: int, *, rate: float
) -> Verdict:
    """Replace an app by its next version, or a good one by one that must fail."""
    is_bad = bool(behaviour.reason)
    site = Site(platform, _slug(behaviour.name))
    await asyncio.to_thread(site.create, WELL if is_bad else behaviour)
    load = site.load(rate)
    async with load.running():
        await asyncio.sleep(0.5)
        rollovers = [await site.redeploy(behaviour) for _ in range(times)]
        await asyncio.sleep(0.5)
    verdict = judge(behaviour.name, load, rollovers)
    service = await asyncio.to_thread(platform.service, site.name)
    if service["status"] != "ACTIVE":
        verdict.wrong.append(f"the service is {service['status']}: {service['status_reason']}")
    if is_bad and set(load.versions()) != {site.version}:
        verdict.wrong.append(f"there were answers of {dict(load.versions())}")
    await asyncio.to_thread(platform.api, "POST", f"services/{site.name}/stop", {})
    return verdict


async def without_drain(platform: Installation, times: int, *, rate: float) -> Verdict:
    """Redeploy without a drain an app that drops everything.

    The control: this must lose requests, and the receipts must say how many.
    """
    site = Site(platform, "control", drain_seconds=0)
    await asyncio.to_thread(site.create, DROPS)
    load = site.load(rate)
    async with load.running():
        await asyncio.sleep(0.5)
        rollovers = [await site.redeploy(DROPS) for _ in range(times)]
        await asyncio.sleep(0.5)
    return judge("(control: no drain)", load, rollovers)


def _slug(name: str) -> str:
    return name.lower().replace(" ", "-")
