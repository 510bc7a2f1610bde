"""What one attempt at one deployment knows."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from pathlib import Path

from helvetia.kernel.contracts.artifact import Artifact
from helvetia.kernel.contracts.router import Traffic
from helvetia.kernel.contracts.runtime import InstanceSpec, Runtime
from helvetia.kernel.contracts.source import Revision
from helvetia.kernel.errors import HelvetiaError
from helvetia.kernel.models import Deployment, Release, Service
from helvetia.kernel.platform import Platform
from helvetia.kernel.providers import Entry
from helvetia.logs import LogWriter

from .lease import ServiceLease
from .planning import KERNEL_STAGES, Choice, choose_source
from .specs import instance_spec
from .workspaces import owner_mark


@dataclass(slots=True, kw_only=True, eq=False)
class Run:
    """One attempt, from claim to end.

    Attributes:
        workspace: a folder that goes away with the attempt.
        problem: what keeps the attempt from doing anything.
        for_build: the variables that a build gets.
        counted_before: the router's counters of both versions before the switch.
        no_return: the route is being switched; from here on nobody can call the deployment off.
        log_is_away: the log took nothing for a while; it is not waited for again.
        switched: the new version is live; from here on the deployment cannot fail any more.
        why_stopped: set before the attempt's task is cancelled: `cancelled` or `shutdown`.
    """

    platform: Platform
    lease: ServiceLease
    deployment: Deployment
    service: Service
    log: LogWriter
    workspace: Path
    for_build: dict[str, str] = field(default_factory=dict, repr=False)
    release: Release | None = None
    revision: Revision | None = None
    choice: Choice | None = None
    artifact: Artifact | None = None
    receipt: dict[str, float] = field(default_factory=dict)
    counted_before: dict[str, Traffic | None] = field(default_factory=dict)
    problem: HelvetiaError | None = None
    no_return: bool = False
    switched: bool = False
    log_is_away: bool = False
    why_stopped: str = ""
    task: asyncio.Task[None] | None = None

    @property
    def owner_mark(self) -> str:
        """The mark of this attempt's programs."""
        return owner_mark(self.platform, self.workspace.name)

    @property
    def pins(self) -> dict[str, str]:
        """Providers that the service insists on."""
        pins: dict[str, str] = self.service.settings.get("providers") or {}
        return pins

    @property
    def the_release(self) -> Release:
        """The release, known from `push` on."""
        assert self.release is not None
        return self.release

    def provider_of(self, stage: str) -> str:
        """Name who does a stage, as far as it is decided; the kernel until then."""
        if stage == "fetch":
            return choose_source(self.platform, self.deployment.source_url, self.pins)[0].name
        if stage in ("build", "push") and self.choice is not None:
            entry = self.choice.builder if stage == "build" else self.choice.registry
            return entry.name
        family = {"activate": "router", "start": "runtime", "drain": "runtime", "retire": "runtime"}
        if stage in family and self.release is not None:
            return str(self.release.providers[family[stage]])
        return stage if stage not in KERNEL_STAGES else "kernel"

    async def spec(self, instance_id: str) -> InstanceSpec:
        """Specify an instance of the release; the log masks its values from here on.

        They are others than the build's if somebody changed them meanwhile, or rolls back.
        """
        spec = await instance_spec(self.platform, self.service, self.the_release, instance_id)
        self.log.mask(spec.environment[name] for name in spec.secrets)
        return spec

    def runtime(self) -> Entry[Runtime]:
        """Return the runtime of the release."""
        return self.platform.providers.runtimes.get(self.the_release.providers["runtime"])
