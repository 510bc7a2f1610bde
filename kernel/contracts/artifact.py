"""What a build makes and where it is kept."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from .health import HealthCheck

OCI_IMAGE = "oci-image"
DIRECTORY = "directory"


@dataclass(frozen=True, slots=True, kw_only=True)
class Artifact:
    """What a builder made.

    Attributes:
        kind: `oci-image`, `directory`, or a kind of a plugin's own.
        location: the folder of a `directory`, the image reference of an `oci-image`.
        processes: process name to argument list; `web` takes the traffic, `release` runs once
            before a new release starts. An argument may hold `$NAME`, `${NAME}` and
            `${NAME:-default}`, which the runtime fills from the instance's environment without
            a shell, and `{workdir}` and `{python}` (the platform's own interpreter).
        environment: variables the artifact needs to run; the service's own win over them.
            Values may hold `{workdir}`.
        health_check: what the builder knows to be a good check, used when the service sets none.
        read_only: instances may share one copy, nothing writes into it.
        facts: what a person may want to know (file count, interpreter version).
    """

    kind: str
    location: str
    processes: dict[str, list[str]]
    environment: dict[str, str] = field(default_factory=dict)
    health_check: HealthCheck | None = None
    read_only: bool = False
    facts: dict[str, str] = field(default_factory=dict)

    @property
    def folder(self) -> Path:
        """The location as a path, for the kind `directory`."""
        return Path(self.location)


@dataclass(frozen=True, slots=True, kw_only=True)
class ArtifactReference:
    """A kept artifact: found again by its digest, from any worker, at any later time."""

    registry: str
    digest: str
    bytes: int
    artifact: Artifact
