"""Stages and event listeners that plugins add."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime

from .artifact import ArtifactReference
from .base import Detection, LogSink
from .source import Revision


@dataclass(frozen=True, slots=True, kw_only=True)
class StageContext:
    """What a plugin stage gets.

    Attributes:
        artifact: known from `push` on, before that None.
        run_process: runs a process of the artifact once in a copy of the release, with its
            environment, and returns the exit code.
    """

    service_id: str
    service_name: str
    deployment_id: str
    revision: Revision
    artifact: ArtifactReference | None
    log: LogSink
    run_process: Callable[[str], Awaitable[int]]


class Stage(ABC):
    """A stage that a plugin adds to every pipeline it applies to.

    Required: `name`, `after` (the stage it follows), `run`. Optional: `timeout_seconds`,
    `applies`. A stage may run again after a crash and must be idempotent.
    """

    name: str
    after: str
    timeout_seconds: float = 600.0

    def applies(self, artifact: ArtifactReference | None) -> Detection:
        """Say whether the stage is needed (score above 0) and why."""
        return Detection(score=100, reason="always")

    @abstractmethod
    async def run(self, context: StageContext) -> None:
        """Do the work.

        Raises:
            Vetoed: the deployment must not go on, with the reason.
            ReleaseFailed: the work failed.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something that happened, as kept in the journal.

    Attributes:
        kind: `deployment.live`, `service.stopped` and so on; docs/plugins.md lists them.
        actor: the user's id, or the part of the platform that acted.
    """

    kind: str
    time: datetime
    service_id: str | None = None
    deployment_id: str | None = None
    actor: str = ""
    data: dict[str, str] = field(default_factory=dict)


class EventListener(ABC):
    """Hears of events after they are journalled. Slow or failing, it hurts nobody."""

    name: str

    @abstractmethod
    async def on_event(self, event: Event) -> None:
        """Handle one event; limited to five seconds."""

    async def tidy(self) -> None:
        """Do what is due by the clock: called about once a minute, by the process that tells of
        events; limited to five seconds.
        """
