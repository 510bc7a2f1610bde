"""Kill the control plane at every step of a rollover, and start it again."""

from __future__ import annotations

import asyncio
import contextlib
import http.client

from tests.e2e.harness import Installation
from tests.e2e.killing import await_killed

from .behaviours import DROPS
from .judging import MIXED_SECONDS, Verdict, judge
from .site import PATIENCE, Site


class Killed:
    """A platform whose control plane dies where it is told to."""

    def __init__(self, platform: Installation) -> None:
        self._platform = platform
        self._chosen = platform.home.parent / "failpoint"

    async def up(self) -> None:
        """Start the control plane, which lives until it is told where to die."""
        self._chosen.unlink(missing_ok=True)
        await asyncio.to_thread(self._platform.up, HELVETIA_FAILPOINT=f"@{self._chosen}")

    def site(self) -> Site:
        """Return a service whose app drops everything on SIGTERM."""
        return Site(self._platform, "killed")

    async def rollover(
        self, site: Site, place: str, *, rate: float, mixed_seconds: float = MIXED_SECONDS
    ) -> Verdict:
        """Redeploy, die at a place, and go on."""
        load = site.load(rate)
        async with load.running():
            await asyncio.sleep(0.3)
            new = await asyncio.to_thread(site.commit, DROPS)
            self._chosen.write_text(place)
            # The answer may be lost with the control plane.
            with contextlib.suppress(OSError, http.client.HTTPException):
                await asyncio.to_thread(site.begin)
            await asyncio.to_thread(await_killed, self._platform, seconds=PATIENCE)
            await self.up()
            (newest, *_) = await asyncio.to_thread(self._platform.deployments, site.name)
            ended = await asyncio.to_thread(site.ended, newest["id"])
            await asyncio.sleep(0.3)
        rollover = site.seen(new, DROPS, ended)
        return judge(place, load, [rollover], mixed_seconds=mixed_seconds)
