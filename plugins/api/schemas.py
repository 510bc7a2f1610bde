"""What goes over the wire: one typed shape per resource, shared by the API and the CLI.

Times are ISO 8601 in UTC. Lists come as pages: `{"items": [...], "next": cursor or null}`.
Errors are problem details (RFC 9457): `{"type", "title", "status", "code", "detail", "hint",
"errors": [{"field", "message"}], "request_id"}`.
"""

from datetime import datetime
from typing import Generic, Literal, TypeVar

from pydantic import Field

from helvetia.plugins.api.inputs import Body, PrintableText, Ref, ServiceSettings, Shape

Item = TypeVar("Item")
Scope = Literal["read", "deploy", "admin"]
"""The most that a token may do."""


class Page(Shape, Generic[Item]):
    """One page of a list."""

    items: list[Item]
    next: str | None = None


class Service(Shape):
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
    live: int = Field(0, description="how many instances of the release there should be now")
    settings: ServiceSettings
    created_at: datetime


class NewDeployment(Body):
    """`POST /api/v1/services/{name}/deployments`; all optional.

    `action`: `deploy` fetches and builds; `restart` runs the present artifact again with the
    present configuration; `rollback` brings back release number `release` (default: the one
    before the live one) with the configuration it had.
    """

    action: Literal["deploy", "restart", "rollback"] = "deploy"
    ref: Ref | None = None
    source: str | None = Field(None, min_length=1, max_length=2048)
    release: int | None = Field(None, ge=1, lt=2**31)


class Stage(Shape):
    """One stage of a deployment."""

    name: str
    provider: str
    status: Literal["PENDING", "RUNNING", "SUCCEEDED", "FAILED", "CANCELLED", "SKIPPED"]
    reason: str
    started_at: datetime | None
    finished_at: datetime | None


class Receipt(Shape):
    """What the rollover measured, in seconds; counters are None if the router cannot count."""

    probe_seconds: float | None = None
    activation_seconds: float | None = None
    drain_seconds: float | None = None
    requests: int | None = None
    failed: int | None = None


class Deployment(Shape):
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


class Release(Shape):
    """A release."""

    number: int
    deployment_id: str
    sha: str
    message: str
    digest: str
    environment_version: int
    is_live: bool
    created_at: datetime


class Instance(Shape):
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


class Variable(Shape):
    """An environment variable; its value is never given back."""

    name: str
    version: int
    scopes: list[Literal["build", "run", "preview"]]
    updated_at: datetime
    is_shared: bool = Field(False, description="it is the team's, and not the service's own")


class EnvironmentDiff(Shape):
    """What the next deployment changes against the live release: names, never values."""

    release: int | None = Field(description="number of the live release; null if there is none")
    release_version: int = Field(description="version of the variables that it has")
    version: int = Field(description="version that the next deployment gets")
    added: list[str]
    changed: list[str] = Field(description="another value or other scopes")
    removed: list[str]


class DomainProof(Shape):
    """Ways to show that a hostname is the service's; one of them is enough."""

    record: str = Field(description="name of the DNS TXT record")
    value: str = Field(description="what the record says")
    file: str = Field(description="address of the file; empty for a wildcard")
    content: str = Field(description="what the file says")


class Domain(Shape):
    """A hostname of a service. The first one is its own below the base domain.

    A pending one leads nowhere until it is verified: `proof` is what to do for that, `reason`
    why the check that was just made did not find it.
    """

    hostname: str
    url: str
    is_default: bool
    state: Literal["verified", "pending"] = "verified"
    reason: str = ""
    proof: DomainProof | None = None


class Certificate(Shape):
    """What a hostname shows browsers now.

    `own` is one of the platform's that no authority vouches for: they warn of it.
    """

    state: Literal["valid", "expiring", "expired", "other-name", "own", "none"]
    issuer: str = ""
    expires_at: datetime | None = None
    reason: str = Field("", description="why it is not valid, or not yet")


class NewDomain(Body):
    """`POST /api/v1/services/{name}/domains`."""

    hostname: str = Field(min_length=1, max_length=253)


class LogRecord(Shape):
    """One line of a log; `seq` grows by one."""

    seq: int
    time: float
    stream: str
    stage: str
    text: str


class LogPage(Shape):
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
    ref: Ref | None = None
    type: str = Field("auto", pattern=r"^[a-z][a-z0-9-]{0,31}$")
    settings: ServiceSettings = ServiceSettings()
    service: str | None = Field(None, max_length=64, description="whose credentials are used")


class Candidate(Shape):
    """A provider that was considered."""

    provider: str
    score: int
    reason: str


class PlannedStage(Shape):
    """Who would do a stage, and why; `candidates` are the others that were considered."""

    stage: str
    provider: str
    plugin: str
    reason: str
    candidates: list[Candidate] = Field([])


class Plan(Shape):
    """The explained pipeline."""

    source: str
    sha: str
    ref: str
    artifact_kind: str
    settings: dict[str, str]
    stages: list[PlannedStage]
    generated: dict[str, str] = Field(
        default={}, description="files that the builder would write, by name"
    )


class Freed(Shape):
    """What was given back."""

    freed_bytes: int


class Plugin(Shape):
    """An installed plugin."""

    name: str
    distribution: str
    version: str
    status: Literal["active", "disabled", "quarantined"]
    reason: str
    hooks: list[str]
    providers: list[str] = Field(description="`family/name` of each")


class ProviderCheck(Shape):
    """Whether a provider is usable here."""

    family: str
    name: str
    plugin: str
    ok: bool
    reason: str


class Job(Shape):
    """A deployment that a worker runs."""

    id: str
    service: str
    number: int


class Worker(Shape):
    """A worker; `concurrency` is how many deployments it runs at once."""

    name: str
    host: str
    version: str
    status: Literal["alive", "silent"]
    labels: list[str]
    concurrency: int
    running: list[Job]
    started_at: datetime
    seen_at: datetime


class Waiting(Shape):
    """A deployment that waits; `reason` is there if no worker may take it."""

    id: str
    service: str
    number: int
    labels: list[str] = Field(description="what the service demands of its worker")
    reason: str
    created_at: datetime


class Queue(Shape):
    """What waits for workers, and how they hear of it; `broker` is "" if there is none."""

    waiting: int
    running: int
    broker: str
    broker_ok: bool
    broker_reason: str
    next: list[Waiting]


class NewToken(Body):
    """`POST /api/v1/tokens`."""

    name: PrintableText = Field(min_length=1, max_length=100)
    scope: Scope = Field(
        "admin", description="the most it may do: read, deploy, or all that you may"
    )
    expires_in_days: int | None = Field(None, ge=1, le=3650)


class Token(Shape):
    """An API token; `token` is there once, in the answer to its making."""

    id: str
    name: str
    scope: Scope
    token: str | None = None
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None


class Upload(Shape):
    """`POST /api/v1/uploads` (body: tar.gz): the source to deploy it from."""

    source: str


class Me(Shape):
    """Who is signed in."""

    id: str
    name: str
    email: str | None
    is_operator: bool
    team: str
    csrf_token: str | None = None


class About(Shape):
    """`GET /api/v1`: this installation."""

    version: str
    api_version: int
    installation: str
    domain: str
    edge: str


class Event(Shape):
    """An entry of the journal."""

    id: str
    kind: str
    time: datetime
    actor: str
    service_id: str | None
    deployment_id: str | None
    data: dict[str, str]
