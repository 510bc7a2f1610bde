"""What people ask for, checked before the kernel sees it; the API's bodies are made of it."""

import itertools
import re
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationInfo,
    field_validator,
)

from helvetia.kernel.scopes import Scope
from helvetia.kernel.settings import LABEL


def _printable(text: str) -> str:
    if not text.isprintable():
        raise ValueError("holds characters that cannot be seen")
    return text


def _inside_a_container(path: str) -> str:
    if not re.fullmatch(r"(/[A-Za-z0-9_][A-Za-z0-9._-]*)+", path):
        raise ValueError("must be an absolute path of letters, digits and . _ -, as /srv/data")
    if path.split("/")[1] in ("dev", "proc", "sys"):
        raise ValueError("is the system's own")
    return path


def _go_somewhere(scopes: list[Scope]) -> list[Scope]:
    if not {Scope.BUILD, Scope.RUN} & set(scopes):
        raise ValueError("must have `build`, `run` or both")
    return scopes


def _no_option(text: str) -> str:
    if text.startswith("-"):
        raise ValueError("cannot begin with a hyphen")
    return text


PrintableText = Annotated[str, AfterValidator(_printable)]
ServiceName = Annotated[
    str,
    StringConstraints(pattern=r"^[a-z]([a-z0-9-]{0,61}[a-z0-9])?$"),
    Field(description="lower-case letters, digits and hyphens; it becomes the hostname"),
]
VariableName = Annotated[
    str,
    StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,254}$"),
    Field(description="letters, digits and underscores, not beginning with a digit"),
]
VariableValue = Annotated[str, StringConstraints(max_length=65536)]
Ref = Annotated[
    str,
    StringConstraints(min_length=1, max_length=255),
    AfterValidator(_printable),
    AfterValidator(_no_option),
    Field(description="branch, tag or commit"),
]
WorkerLabel = Annotated[str, StringConstraints(pattern=LABEL)]
VolumeName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_-]{0,31}$")]
VolumePath = Annotated[str, StringConstraints(max_length=255), AfterValidator(_inside_a_container)]
OptionName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,63}$")]
OptionValue = Annotated[str, StringConstraints(max_length=4096)]
ProviderName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]{0,31}$")]


class Shape(BaseModel):
    """What goes over the wire. What checks it is built with its first use, not at the start."""

    model_config = ConfigDict(defer_build=True)


class Body(Shape):
    """A request body: unknown fields are errors, so that a typing mistake is not ignored."""

    model_config = ConfigDict(extra="forbid")


class Health(Body):
    """The health check of a service."""

    path: str | None = Field(
        None,
        pattern=r"^/[^\s\x00-\x1f\x7f]*$",
        max_length=1024,
        description="asked for over HTTP; none: as the builder advises, or that the port is open",
    )
    expected: str = Field(
        "200-399",
        pattern=r"^[1-5][0-9]{2}(-[1-5][0-9]{2})?(,[1-5][0-9]{2}(-[1-5][0-9]{2})?)*$",
        max_length=200,
        description="status codes that are healthy; 200-399 if nothing is said",
    )
    grace_seconds: float = Field(
        60, gt=0, le=1800, description="how long a new version may take to get healthy; 60 s"
    )
    interval_seconds: float = Field(0.1, ge=0.05, le=60, description="between checks; 0.1 s")
    timeout_seconds: float = Field(5, gt=0, le=60, description="of one check; 5 s")
    successes: int = Field(2, ge=1, le=20, description="how many in a row are healthy; 2")


class Limits(Body):
    """What an instance and a build may use; 0 is no limit."""

    cpu: float = Field(0, ge=0, le=256, description="in cores, as 0.5; no limit by default")
    memory_mb: int = Field(512, ge=0, le=2**24, description="512 MB by default")
    pids: int = Field(512, ge=0, le=2**20, description="processes and threads; 512 by default")


class ServiceSettings(Body):
    """What configures a service beside its source, variables and domains.

    `health` unset means the builder's advice, or TCP. `builder` holds options of the builder
    such as `build_command` and `output`, `source` those of the source such as `submodules`;
    `providers` pins a family (`builder`, `runtime`,
    `router`, `registry`, `source`) to one by name. `worker_labels` are labels of workers: only one
    that has all of them takes a deployment of the service.

    `replicas` instances run side by side from the next deployment or restart on. `volumes` are
    folders that outlive instances and releases, name to path in the container; they go with the
    service. The former version is stopped before the next one starts where there are volumes, so
    there can be one instance only.
    """

    health: Health | None = None
    replicas: int = Field(1, ge=1, le=64, description="how many instances run side by side")
    limits: Limits = Limits()
    volumes: dict[VolumeName, VolumePath] = Field(
        {},
        max_length=16,
        description="folders that outlive releases: one a line, as data=/app/data",
    )
    stop_grace_seconds: float = Field(
        10, ge=0, le=600, description="between being asked to end and being ended; 10 s by default"
    )
    drain_seconds: float | None = Field(
        None, ge=0, le=3600, description="how long requests in flight may take at a switch"
    )
    builder: dict[OptionName, OptionValue] = {}
    source: dict[OptionName, OptionValue] = {}
    providers: dict[
        Literal["source", "builder", "registry", "runtime", "router"], ProviderName
    ] = {}
    worker_labels: list[WorkerLabel] = Field(
        [], max_length=8, description="only a worker with all of them takes it; commas between"
    )

    @field_validator("volumes")
    @classmethod
    def _are_apart(cls, value: dict[str, str], info: ValidationInfo) -> dict[str, str]:
        if value and info.data.get("replicas", 1) > 1:
            raise ValueError("cannot be had by several instances: set `replicas` to 1")
        paths = sorted(f"{path}/" for path in value.values())
        if any(path.startswith(above) for above, path in itertools.pairwise(paths)):
            raise ValueError("cannot lie in one another")
        return value


class NewService(Body):
    """`POST /api/v1/services`."""

    name: ServiceName
    source: str = Field(min_length=1, max_length=2048)
    ref: Ref | None = None
    type: str = Field("auto", pattern=r"^[a-z][a-z0-9-]{0,31}$")
    environment: dict[VariableName, VariableValue] = {}
    settings: ServiceSettings = ServiceSettings()
    team: str | None = Field(
        None, max_length=64, description="its team; by default the first one the caller may use"
    )


class ServiceChange(Body):
    """`PATCH /api/v1/services/{name}`; what is absent stays."""

    source: str | None = Field(None, min_length=1, max_length=2048)
    ref: Ref | None = None
    type: str | None = Field(None, pattern=r"^[a-z][a-z0-9-]{0,31}$")
    settings: ServiceSettings | None = None


class EnvironmentChange(Body):
    """`PATCH /api/v1/services/{name}/environment`: all of it or nothing.

    `scopes` says what gets a variable: `build`, `run` or both, and `preview` if previews get it
    too. New ones are for `build` and `run`; others keep theirs.
    """

    set: dict[VariableName, VariableValue] = {}
    unset: list[VariableName] = []
    scopes: dict[VariableName, Annotated[list[Scope], AfterValidator(_go_somewhere)]] = {}
