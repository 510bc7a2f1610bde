"""A redeploy under a steady load: nobody notices."""

from __future__ import annotations

import asyncio

import pytest

from . import apps
from .harness import Installation, Repository
from .load import Load, switch_window

pytestmark = pytest.mark.e2e
HOST = "web.localhost"


async def test_a_redeploy_under_100_requests_a_second_fails_none(
    platform: Installation, repository: Repository
) -> None:
    repository.commit("one", apps.server("one"))
    deploy = ("deploy", str(repository.folder), "--name", "web", "--health", "/")
    await asyncio.to_thread(platform.run, *deploy)
    repository.commit("two", apps.server("two"))
    load = Load(platform.edge_port, HOST)
    async with load.running():
        await asyncio.sleep(1)
        deployment = await asyncio.to_thread(platform.json, *deploy)
        await asyncio.sleep(1)

    assert load.problems == {}
    versions = load.versions()
    assert set(versions) == {"one", "two"}
    assert min(versions.values()) > 100, versions
    assert load.mixed_seconds("one", "two") < 0.5
    receipt = deployment["receipt"]
    assert receipt["failed"] == 0
    # The client and the proxy count at slightly different moments.
    seen = load.ended_between(*switch_window(deployment))
    assert receipt["requests"] == pytest.approx(seen, rel=0.1, abs=20)
    assert receipt["drain_seconds"] >= 1


async def test_a_version_that_never_gets_healthy_fails_none_either(
    platform: Installation, repository: Repository
) -> None:
    repository.commit("one", apps.server("one"))
    deploy = ("deploy", str(repository.folder), "--name", "web", "--health", "/")
    await asyncio.to_thread(platform.run, *deploy)
    repository.commit("two", apps.server("two", {"503-seconds": 600}))
    service = platform.service("web")
    health = {**service["settings"]["health"], "grace_seconds": 3}
    settings = {**service["settings"], "health": health}
    platform.api("PATCH", "services/web", {"settings": settings})
    load = Load(platform.edge_port, HOST, rate=50)
    async with load.running():
        request = {"action": "deploy"}
        made = platform.api("POST", "services/web/deployments", request)
        async with asyncio.timeout(30):
            while (await asyncio.to_thread(platform.deployments, "web"))[0]["status"] != "FAILED":
                await asyncio.sleep(0.05)

    ended = platform.api("GET", f"deployments/{made['id']}")
    assert ended["failed_stage"] == "probe"
    assert "answered 503" in ended["reason"]
    assert load.problems == {}
    assert set(load.versions()) == {"one"}
    assert platform.service("web")["status"] == "ACTIVE"
