"""A service on a real platform, to be redeployed."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from tests.e2e.harness import Installation, Repository, until

from .behaviours import WELL, Behaviour
from .docker import recipe
from .load import Load

# Patience with a version that will be healthy, and with one that will not.
_GOOD_SECONDS, _BAD_SECONDS = 30, 5
# How long anything may take: what is late on a busy machine is no fault of a rollover.
PATIENCE = 180.0
_PROGRAM = Path(__file__).with_name("service.py")


@dataclass(frozen=True, slots=True)
class Rollover:
    """One attempt to replace a version, as it ended.

    Attributes:
        replaced: how the former version behaves.
        behaviour: how the new one does.
    """

    former: str
    replaced: Behaviour
    new: str
    behaviour: Behaviour
    deployment: dict[str, Any]

    @property
    def is_live(self) -> bool:
        """Whether the new version answers from now on."""
        return bool(self.deployment["status"] == "LIVE")

    def at(self, stage: str, moment: str) -> float:
        """Return when a stage began (`started_at`) or ended (`finished_at`)."""
        stages = {found["name"]: found for found in self.deployment["stages"]}
        return datetime.fromisoformat(stages[stage][moment]).timestamp()


class Site:
    """A service and its repository."""

    def __init__(self, platform: Installation, name: str, *, drain_seconds: float = 5) -> None:
        self.platform = platform
        self.name = name
        self._repository = Repository(platform.home.parent / name)
        self._number = 0
        self.version = ""
        self._behaviour = WELL
        self._drain_seconds = drain_seconds

    def _settings(self, behaviour: Behaviour) -> dict[str, Any]:
        grace = _BAD_SECONDS if behaviour.reason else _GOOD_SECONDS
        health = {"path": "/", "grace_seconds": grace}
        drain = self._drain_seconds
        return {"health": health, "drain_seconds": drain, "stop_grace_seconds": 2}

    def load(self, rate: float, *, held: int = 4) -> Load:
        """Return the load for this service."""
        host = f"{self.name}.localhost"
        return Load(self.platform.edge_port, host, rate=rate, kinds="mixed", held=held)

    def commit(self, behaviour: Behaviour) -> str:
        """Commit another version and return its name."""
        version = f"v{self._number}"
        self._number += 1
        files = {
            **recipe(self.platform),
            "service.py": _PROGRAM.read_text(),
            "behaviour.json": json.dumps({**behaviour.facts, "version": version}),
        }
        self._repository.commit(version, files)
        return version

    def create(self, behaviour: Behaviour = WELL) -> None:
        """Bring the first version live."""
        self.version, self._behaviour = self.commit(behaviour), behaviour
        source = str(self._repository.folder)
        body = {"name": self.name, "source": source, "settings": self._settings(behaviour)}
        self.platform.api("POST", "services", body)
        ended = self.ended(self.begin())
        assert ended["status"] == "LIVE", ended["reason"]

    def begin(self) -> str:
        """Begin a deployment of what was committed last, and return its id."""
        made = self.platform.api("POST", f"services/{self.name}/deployments", {})
        return str(made["id"])

    def ended(self, deployment: str) -> dict[str, Any]:
        """Wait for the end of a deployment."""

        def look() -> Any:
            now = self.platform.api("GET", f"deployments/{deployment}")
            return None if now["status"] in ("QUEUED", "RUNNING") else now

        found: dict[str, Any] = until("the deployment ends", look, seconds=PATIENCE)
        return found

    async def redeploy(self, behaviour: Behaviour) -> Rollover:
        """Deploy another version and wait for what comes of it."""
        change = {"settings": self._settings(behaviour)}
        await asyncio.to_thread(self.platform.api, "PATCH", f"services/{self.name}", change)
        new = await asyncio.to_thread(self.commit, behaviour)
        made = await asyncio.to_thread(self.begin)
        return self.seen(new, behaviour, await asyncio.to_thread(self.ended, made))

    def seen(self, new: str, behaviour: Behaviour, deployment: dict[str, Any]) -> Rollover:
        """Remember what came of a deployment."""
        rollover = Rollover(self.version, self._behaviour, new, behaviour, deployment)
        if rollover.is_live:
            self.version, self._behaviour = new, behaviour
        return rollover
