"""Builders turn a checkout into an artifact."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from .artifact import DIRECTORY, Artifact
from .base import Detection, LogSink, Provider
from .runtime import ResourceLimits


class CommandRunner(Protocol):
    """Runs external programs of a build: logged, limited, and gone when the build is."""

    async def __call__(
        self,
        argv: Sequence[str],
        *,
        cwd: Path,
        environment: Mapping[str, str] | None = None,
        log: LogSink | None = None,
    ) -> int:
        """Run `argv` to its end and return its exit code.

        The program gets its own process group and a small environment: PATH, proxy, certificate
        and package-index variables of the platform plus `environment`. When the calling task is
        cancelled the whole process tree is killed first.

        Args:
            argv: program and arguments; no shell reads them.
            cwd: working folder.
            environment: variables to add.
            log: where its output goes; the build's own log by default.

        Raises:
            FileNotFoundError: there is no such program.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildContext:
    """All a builder gets.

    Attributes:
        checkout: the files of the revision; the builder may change them.
        output: an empty folder on the same file system for a `directory` artifact.
        cache: a folder kept from build to build of this service.
        settings: what `detect` found, overridden by what the service sets.
        environment: the service's variables that a build may see.
        kind: what to make, one of those the builder `produces`.
        limits: what the service's instances may use; a builder that builds in isolation gives
            the build as much. `run` itself enforces none of them, only the time.
    """

    service_id: str
    service_name: str
    deployment_id: str
    checkout: Path
    output: Path
    cache: Path
    settings: dict[str, str]
    environment: dict[str, str]
    limits: ResourceLimits
    log: LogSink
    run: CommandRunner
    kind: str = DIRECTORY

    def __repr__(self) -> str:
        """Leave the environment out: its values may be secret."""
        return f"BuildContext(service={self.service_name!r}, deployment={self.deployment_id!r})"


class Builder(Provider):
    """Builds one service type.

    Required: `service_type` (what a person names with `--type`), `produces` (artifact kinds,
    the preferred one first), `detect`, `build`. Optional: `options`, the settings `build` reads,
    each with one line of help; `forget` and `collect`, for who keeps something elsewhere than in
    `BuildContext.cache`.
    """

    service_type: str
    produces: tuple[str, ...]
    options: Mapping[str, str] = {}

    @abstractmethod
    async def detect(self, checkout: Path) -> Detection:
        """Look at the files, change nothing, run nothing of theirs.

        The reason is shown to people both when the builder is chosen and when it is not:
        "Procfile with a `web` process", "no index.html and no package.json".
        """

    @abstractmethod
    async def build(self, context: BuildContext) -> Artifact:
        """Make the artifact.

        Raises:
            BuildFailed: with the step that failed and what a person can do.
        """

    async def forget(self, service_id: str) -> int:
        """Drop what is kept for the next build of a service that has none now; return its bytes."""
        return 0

    async def collect(self, used: Collection[str]) -> None:
        """Remove what is kept for services other than the `used` ones; called now and then.

        What came in the last ten minutes stays: its service may be new.
        """
