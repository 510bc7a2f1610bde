"""The control plane is killed again and again at any moment while deployments come in.

`HELVETIA_KILLS` says how often, `HELVETIA_SEED` when; three hundred take a while.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import random
import threading
import time
from collections import Counter
from pathlib import Path

import pytest

from .harness import Installation, until
from .killing import App, Requests, await_tidy, open_deployments, rows

KILLS = int(os.environ.get("HELVETIA_KILLS", "10"))
SEED = int(os.environ.get("HELVETIA_SEED", "1"))
pytestmark = [pytest.mark.e2e, pytest.mark.long, pytest.mark.timeout(60 + 20 * KILLS)]


class Pusher:
    """Commits and asks for deployments without end, whether somebody answers or not."""

    def __init__(self, platform: Installation, apps: list[App], dice: random.Random) -> None:
        self._platform = platform
        self._apps = apps
        self._dice = dice
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._push)
        self.accepted: dict[str, set[int]] = {app.name: set() for app in apps}
        self.versions: dict[str, set[str]] = {app.name: {"first"} for app in apps}
        self.newest = dict.fromkeys((app.name for app in apps), "first")

    def __enter__(self) -> Pusher:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    @property
    def is_pushing(self) -> bool:
        return self._thread.is_alive()

    def _push(self) -> None:
        count = 0
        while not self._stop.wait(self._dice.uniform(0.05, 0.8)):
            count += 1
            app = self._dice.choice(self._apps)
            version = f"v{count}"
            app.commit(version)
            self.versions[app.name].add(version)
            self.newest[app.name] = version
            # The lock of a person who pushes: what is newest must be what was asked for last.
            with contextlib.suppress(OSError, http.client.HTTPException, ValueError):
                try:
                    made = self._platform.api("POST", f"services/{app.name}/deployments", {})
                except AssertionError as refused:
                    # Read from the file of the process that was killed meanwhile.
                    if "the token is not valid" not in str(refused):
                        raise
                else:
                    self.accepted[app.name].add(made["number"])


def test_killed_at_random(tmp_path: Path) -> None:
    dice = random.Random(SEED)
    platform = Installation(tmp_path / "home")
    apps = [App(tmp_path / name, name) for name in ("red", "green", "blue")]
    try:
        platform.up()
        for app in apps:
            app.commit("first")
            app.deploy_first(platform)
        with Requests(platform, *(app.name for app in apps)).running() as requests:
            with Pusher(platform, apps, dice) as pusher:
                for _ in range(KILLS):
                    until("somebody answers", lambda: platform.get_control("/healthz") == 200)
                    time.sleep(dice.uniform(0, 4))
                    platform.process.kill()  # type: ignore[union-attr]
                    platform.process.wait()  # type: ignore[union-attr]
                    platform.begin_up()
                    assert pusher.is_pushing, "something else than a kill kept it from going on"
            until("the platform is ready", lambda: platform.get_control("/readyz") == 200)
            for app in apps:
                platform.api("POST", f"services/{app.name}/deployments", {})
            until("all has ended", lambda: not open_deployments(platform), seconds=120)
            await_tidy(platform)
            ends = judge(platform, pusher)
            for app in apps:
                status, body, _ = platform.get(f"{app.name}.localhost")
                assert (status, body.decode()) == (200, pusher.newest[app.name])
        answered = {
            name: {v for service, v in requests.answers if service == name}
            for name in pusher.versions
        }
        assert all(answered[name] <= pusher.versions[name] for name in answered)
        asked = sum(map(len, pusher.accepted.values()))
        print(f"{KILLS} kills, {asked} deployments accepted: {dict(ends)};"
              f" {sum(requests.answers.values())} requests answered")  # fmt: skip
    finally:
        platform.tear_down()


def judge(platform: Installation, pusher: Pusher) -> Counter[str]:
    """Look at every deployment that there ever was; return how they ended."""
    ends: Counter[str] = Counter()
    for service in rows(platform, "SELECT * FROM service"):
        deployments = rows(
            platform, "SELECT * FROM deployment WHERE service_id = ? ORDER BY number", service["id"]
        )
        numbers = [row["number"] for row in deployments]
        assert numbers == list(range(1, service["deployment_count"] + 1))
        assert pusher.accepted[service["name"]] <= set(numbers)
        for row in deployments:
            ends[row["status"]] += 1
            assert row["status"] in ("LIVE", "SUPERSEDED", "FAILED")
            if row["status"] == "FAILED":
                # Nothing else may make one fail here.
                assert "died 3 times" in row["reason"], row
        assert deployments[-1]["status"] == "LIVE"
        assert deployments[-1]["release_id"] == service["live_release_id"]
        made = rows(
            platform,
            "SELECT deployment_id, count(*) AS n FROM release WHERE service_id = ? GROUP BY 1",
            service["id"],
        )
        assert all(row["n"] == 1 for row in made)
        live = [row["finished_at"] for row in deployments if row["status"] == "LIVE"]
        assert live == sorted(live), "an older version went live on top of a newer one"
    return ends
