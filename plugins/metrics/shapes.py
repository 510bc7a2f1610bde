"""What goes over the wire."""

from datetime import datetime
from typing import Literal

from pydantic import Field

from helvetia.plugins.api.inputs import Body, Shape

Range = Literal["hour", "day", "week"]


class MetricsQuery(Body):
    """How far back."""

    range: Range = Field(
        "hour", description="points of 5 seconds, a minute or a quarter of an hour"
    )


class MetricPoint(Shape):
    """What was measured in one step; null is what could not be."""

    time: int = Field(description="its beginning, in seconds since the epoch")
    cpu: float | None = Field(description="processor cores, on average")
    memory_bytes: int | None = Field(description="of all instances together, the highest")
    processes: int | None
    received_per_second: float | None = Field(description="bytes")
    sent_per_second: float | None = Field(description="bytes")
    restarts: int | None
    requests_per_second: float | None
    statuses: dict[str, int] | None = Field(description="answers by class: `2xx` to `5xx`")
    p50: float | None = Field(description="seconds in which half of the answers came")
    p95: float | None
    p99: float | None


class ServiceMetrics(Shape):
    """A series; steps in which nothing ran or nothing was measured are left out."""

    range: Range
    step_seconds: int
    points: list[MetricPoint]


class Sparkline(Shape):
    """The last hour of a service by minutes, the newest last; null is what is not known."""

    service: str
    cpu: list[float | None]
    memory_bytes: list[int | None]
    requests_per_second: list[float | None]


class DeployTime(Shape):
    """How long one deployment took, by its stages."""

    deployment: str
    number: int
    status: str
    time: datetime = Field(description="when it began")
    seconds: float = Field(description="from its first stage to the end of its last")
    stages: dict[str, float] = Field(description="seconds by stage, in order")
