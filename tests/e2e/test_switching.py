"""Switches that the proxy does not make, and what a dead worker left switched."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from pathlib import Path

import pytest

from bench.rollover.behaviours import DROPS
from bench.rollover.site import Site
from bench.rollover.wire import Connection

from .harness import Installation, until
from .killing import await_killed, await_tidy
from .looking import text
from .using import Watcher, newest, stages

pytestmark = pytest.mark.e2e


def test_a_switch_that_traefik_does_not_confirm(installation: Installation, tmp_path: Path) -> None:
    installation.up(HELVETIA_TRAEFIK_CONFIRM_SECONDS="1")
    site = Site(installation, "web", drain_seconds=1)
    site.create(DROPS)
    new = site.commit(DROPS)
    # Somebody's own file that cannot be read: Traefik keeps what it has read before.
    foreign = installation.home / "traefik" / "dynamic" / "mine.yml"
    foreign.write_text("http: [")
    deploy = ("deploy", "--name", site.name)
    watcher = Watcher(installation, "web.localhost", "v0")
    with watcher.watching():
        told = installation.run(*deploy, str(tmp_path / site.name), code=5).stderr

    assert "✗ Failed in activate (traefik): Traefik did not confirm the switch: " in told
    assert "nothing was switched; deploy again once Traefik is well" in told
    assert "mine.yml" in told, "what Traefik says of it is missing"
    deployment = newest(installation, site.name)
    assert deployment["reason_code"] == "activation-failed"
    assert (deployment["status"], deployment["failed_stage"]) == ("FAILED", "activate")
    assert stages(deployment)["drain"] == "SKIPPED"
    service = installation.service(site.name)
    assert (service["status"], len(service["instances"])) == ("ACTIVE", 1)

    foreign.unlink()
    installation.run(*deploy, str(tmp_path / site.name))
    assert text(installation, site.name) == new
    await_tidy(installation)


async def test_what_a_dead_worker_left_switched_is_drained_before_it_goes(
    installation: Installation, tmp_path: Path
) -> None:
    """The route leads to a version whose deployment has failed: the live one takes it back."""
    chosen = tmp_path / "failpoint"
    await asyncio.to_thread(installation.up, HELVETIA_FAILPOINT=f"@{chosen}")
    site = Site(installation, "web")
    await asyncio.to_thread(site.create, DROPS)
    surplus = site.commit(DROPS)
    chosen.write_text("activate:switched")
    await asyncio.to_thread(site.begin)
    await asyncio.to_thread(await_killed, installation)
    assert text(installation, site.name) == surplus
    with contextlib.closing(sqlite3.connect(installation.home / "helvetia.db")) as database:
        database.execute("UPDATE deployment SET status = 'FAILED' WHERE status = 'RUNNING'")
        database.execute("DELETE FROM stage_run WHERE status IN ('RUNNING', 'PENDING')")
        database.execute("UPDATE service SET lease_owner = NULL, lease_until = NULL")
        database.commit()
    talk = await Connection.open(installation.edge_port)
    await talk.upgrade("/ws", f"{site.name}.localhost")

    await asyncio.to_thread(installation.up)

    def is_back() -> bool:
        return text(installation, site.name) == "v0"

    await asyncio.to_thread(until, "the live version answers again", is_back)
    for number in range(20):
        talk.say(str(number))
        assert await talk.hear() == f"{surplus} {number}"
        await asyncio.sleep(0.1)  # without a drain it ends at once
    talk.close()
    await asyncio.to_thread(await_tidy, installation)
