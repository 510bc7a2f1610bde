"""What goes over the wire: one typed shape per resource, shared by the API and the CLI.

Times are ISO 8601 in UTC. Lists come as pages: `{"items": [...], "next": cursor or null}`.
Errors are problem details (RFC 9457): `{"type", "title", "status", "code", "detail", "hint",
"errors": [{"field", "message"}], "request_id"}`.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Generic, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

Item = TypeVar("Item")

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


class Body(BaseModel):
    """A request body: unknown fields are errors, so that a typing mistake is not ignored."""

    model_config = ConfigDict(extra="forbid")


class Page(BaseModel, Generic[Item]):
    """One page of a list."""

    items: list[Item]
    next: str | None = None


class FieldProblem(BaseModel):
    """What is wrong with one field."""

    field: str
    message: str


class Problem(BaseModel):
    """The body of every error."""

    type: str = "about:blank"
    title: str
    status: int
    code: str
    detail: str
    hint: str = ""
    errors: list[FieldProblem] = []
    request_id: str = ""


class Health(Body):
    """The health check of a service."""

    path: str | None = Field(None, pattern=r"^/[^\s]*$", max_length=1024)
    expected: str = Field("200-399", pattern=r"^\d{3}(-\d{3})?(,\d{3}(-\d{3})?)*$")
    grace_seconds: float = Field(60, gt=0, le=1800)
    interval_seconds: float = Field(0.25, ge=0.05, le=60)
    timeout_seconds: float = Field(5, gt=0, le=60)
    successes: int = Field(2, ge=1, le=20)


class Limits(Body):
    """What an instance and a build may use; 0 is no limit."""

    cpu: float = Field(0, ge=0, le=256)
    memory_mb: int = Field(512, ge=0, le=2**24)
    pids: int = Field(512, ge=0, le=2**20)


class ServiceSettings(Body):
    """What configures a service beside its source, variables and domains.

    `health` unset means the builder's advice, or TCP. `builder` holds options of the builder
    such as `build_command` and `output`; `providers` pins a family (`builder`, `runtime`,
    `router`, `registry`, `source`) to one by name.
    """

    health: Health | None = None
    limits: Limits = Limits()
    stop_grace_seconds: float = Field(10, ge=0, le=600)
    drain_seconds: float | None = Field(None, ge=0, le=3600)
    builder: dict[str, str] = {}
    providers: dict[Literal["source", "builder", "registry", "runtime", "router"], str] = {}


class NewService(Body):
    """`POST /api/v1/services`."""

    name: ServiceName
    source: str = Field(min_length=1, max_length=2048)
    ref: str | None = Field(None, max_length=255)
    type: str = Field("auto", pattern=r"^[a-z][a-z0-9-]{0,31}$")
    environment: dict[VariableName, VariableValue] = {}
    settings: ServiceSettings = ServiceSettings()


class ServiceChange(Body):
    """`PATCH /api/v1/services/{name}`; what is absent stays."""

    source: str | None = Field(None, min_length=1, max_length=2048)
    ref: str | None = Field(None, max_length=255)
    type: str | None = Field(None, pattern=r"^[a-z][a-z0-9-]{0,31}$")
    settings: ServiceSettings | None = None


class Service(BaseModel):
    """A service."""

    id: str
    name: str
    type: str
    source: str
    ref: str | None
    status: Literal["IDLE", "DEPLOYING", "ACTIVE", "FAILED", "STOPPED"]
    status_reason: str
    url: str
    domains: list[str]
    release: int | None
    sha: str
    message: str
    deployment_id: str | None = Field(description="the newest deployment")
    settings: ServiceSettings
    created_at: datetime


class NewDeployment(Body):
    """`POST /api/v1/services/{name}/deployments`; all optional.

    `action`: `deploy` fetches and builds; `restart` runs the present artifact again with the
    present configuration; `rollback` brings back release number `release` (default: the one
    before the live one) with the configuration it had.
    """

    action: Literal["deploy", "restart", "rollback"] = "deploy"
    ref: str | None = Field(None, max_length=255)
    source: str | None = Field(None, min_length=1, max_length=2048)
    release: int | None = Field(None, ge=1, lt=2**31)


class Stage(BaseModel):
    """One stage of a deployment."""

    name: str
    provider: str
    status: Literal["PENDING", "RUNNING", "SUCCEEDED", "FAILED", "CANCELLED", "SKIPPED"]
    reason: str
    started_at: datetime | None
    finished_at: datetime | None


class Receipt(BaseModel):
    """What the rollover measured, in seconds; counters are None if the router cannot count."""

    probe_seconds: float | None = None
    activation_seconds: float | None = None
    drain_seconds: float | None = None
    requests: int | None = None
    failed: int | None = None


class Deployment(BaseModel):
    """A deployment."""

    id: str
    number: int
    service: str
    trigger: Literal["push", "manual", "rollback", "redelivery", "preview"]
    status: Literal["QUEUED", "RUNNING", "LIVE", "FAILED", "CANCELLED", "SUPERSEDED", "ROLLED_BACK"]
    reason: str
    reason_code: str
    failed_stage: str | None
    failed_provider: str | None
    source: str
    ref: str | None
    sha: str
    message: str
    author: str
    release: int | None
    url: str
    stages: list[Stage]
    receipt: Receipt
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None


class Release(BaseModel):
    """A release."""

    number: int
    deployment_id: str
    sha: str
    message: str
    digest: str
    environment_version: int
    is_live: bool
    created_at: datetime


class Instance(BaseModel):
    """One running copy, as observed now."""

    id: str
    release: int
    status: str
    reason: str
    restarts: int
    address: str
    cpu_seconds: float | None
    memory_bytes: int | None


class ServiceDetail(Service):
    """`GET /api/v1/services/{name}`: with what runs now."""

    instances: list[Instance]


class Variable(BaseModel):
    """An environment variable; its value is never given back."""

    name: str
    version: int
    updated_at: datetime


class EnvironmentChange(Body):
    """`PATCH /api/v1/services/{name}/environment`: all of it or nothing."""

    set: dict[VariableName, VariableValue] = {}
    unset: list[VariableName] = []


class Domain(BaseModel):
    """A hostname of a service. The first one is its own below the base domain."""

    hostname: str
    url: str
    is_default: bool


class NewDomain(Body):
    """`POST /api/v1/services/{name}/domains`."""

    hostname: str = Field(min_length=1, max_length=253)


class LogRecord(BaseModel):
    """One line of a log; `seq` grows by one."""

    seq: int
    time: float
    stream: str
    stage: str
    text: str


class LogPage(BaseModel):
    """Records after `after`, oldest first; `last` is the seq to go on from.

    `skipped` counts records that were trimmed between `after` and the first record; `ended`
    says that nothing will follow.
    """

    records: list[LogRecord]
    last: int
    skipped: int = 0
    ended: bool


class PlanRequest(Body):
    """`POST /api/v1/plans`."""

    source: str = Field(min_length=1, max_length=2048)
    ref: str | None = Field(None, max_length=255)
    type: str = Field("auto", pattern=r"^[a-z][a-z0-9-]{0,31}$")
    settings: ServiceSettings = ServiceSettings()


class Candidate(BaseModel):
    """A provider that was considered."""

    provider: str
    score: int
    reason: str


class PlannedStage(BaseModel):
    """Who would do a stage, and why; `candidates` are the others that were considered."""

    stage: str
    provider: str
    plugin: str
    reason: str
    candidates: list[Candidate] = []


class Plan(BaseModel):
    """The explained pipeline."""

    source: str
    sha: str
    ref: str
    artifact_kind: str
    settings: dict[str, str]
    stages: list[PlannedStage]


class Plugin(BaseModel):
    """An installed plugin."""

    name: str
    distribution: str
    version: str
    status: Literal["active", "disabled", "quarantined"]
    reason: str
    hooks: list[str]
    providers: list[str] = Field(description="`family/name` of each")


class ProviderCheck(BaseModel):
    """Whether a provider is usable here."""

    family: str
    name: str
    plugin: str
    ok: bool
    reason: str


class NewToken(Body):
    """`POST /api/v1/tokens`."""

    name: str = Field(min_length=1, max_length=100)
    expires_in_days: int | None = Field(None, ge=1, le=3650)


class Token(BaseModel):
    """An API token; `token` is there once, in the answer to its making."""

    id: str
    name: str
    token: str | None = None
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None


class Upload(BaseModel):
    """`POST /api/v1/uploads` (body: tar.gz): the source to deploy it from."""

    source: str


class Me(BaseModel):
    """Who is signed in."""

    id: str
    name: str
    email: str | None
    is_operator: bool
    team: str
    csrf_token: str | None = None


class About(BaseModel):
    """`GET /api/v1`: this installation."""

    version: str
    api_version: int
    installation: str
    domain: str
    edge: str


class Event(BaseModel):
    """An entry of the journal."""

    id: str
    kind: str
    time: datetime
    actor: str
    service_id: str | None
    deployment_id: str | None
    data: dict[str, str]


class Ready(BaseModel):
    """`GET /healthz` and `GET /readyz`."""

    status: Literal["alive", "ready"]
