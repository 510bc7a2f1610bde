"""From points to what people look at."""

from __future__ import annotations

import math
import time
from collections.abc import Collection, Sequence

from helvetia.kernel.models import Deployment, StageRun

from . import rings
from .points import (
    CPU,
    FIELDS,
    MEMORY,
    PROCESSES,
    RECEIVED,
    RESTARTS,
    SECONDS,
    SENT,
    STATUSES,
    Point,
    percentile,
)
from .shapes import DeployTime, MetricPoint, Range, ServiceMetrics, Sparkline

_MINUTES = 60


async def series(service_id: str, range: Range, *, after: int = 0) -> ServiceMetrics:
    """Return the points of a service, those behind a time if one is given."""
    resolution = rings.BY_NAME[range]
    since = max(int(time.time()) - resolution.span, after + 1)
    found = await rings.read([service_id], resolution, since=since)
    points = [shown(moment, point) for moment, point in found[service_id].items()]
    return ServiceMetrics(range=range, step_seconds=resolution.step, points=points)


async def sparklines(services: Collection[tuple[str, str]]) -> list[Sparkline]:
    """Return the last hour of services, given as id and name, in their order."""
    resolution = rings.BY_NAME["day"]
    last = int(time.time()) // resolution.step * resolution.step
    times = range(last - (_MINUTES - 1) * resolution.step, last + 1, resolution.step)
    found = await rings.read([id for id, _ in services], resolution, since=times[0])
    lines = []
    for id, name in services:
        points = {moment: shown(moment, point) for moment, point in found[id].items()}
        known = [points.get(moment) for moment in times]
        lines.append(
            Sparkline(
                service=name,
                cpu=[one and one.cpu for one in known],
                memory_bytes=[one and one.memory_bytes for one in known],
                requests_per_second=[one and one.requests_per_second for one in known],
            )
        )
    return lines


def shown(moment: int, point: Point) -> MetricPoint:
    """Return a point as people read it."""
    seconds = point[SECONDS]
    counts = {f"{status}xx": _whole(point[at]) for status, at in STATUSES.items()}
    statuses = {name: count for name, count in counts.items() if count is not None}
    answers = point[len(FIELDS) :]
    p50, p95, p99 = (percentile(answers, share) for share in (0.5, 0.95, 0.99))
    return MetricPoint(
        time=moment,
        cpu=_rate(point[CPU], seconds),
        memory_bytes=_whole(point[MEMORY]),
        processes=_whole(point[PROCESSES]),
        received_per_second=_rate(point[RECEIVED], seconds),
        sent_per_second=_rate(point[SENT], seconds),
        restarts=_whole(point[RESTARTS]),
        requests_per_second=_rate(sum(statuses.values()), seconds) if statuses else None,
        statuses=statuses or None,
        p50=p50,
        p95=p95,
        p99=p99,
    )


def _rate(value: float, seconds: float) -> float | None:
    if math.isnan(value) or not seconds > 0:
        return None
    return round(value / seconds, 4)


def _whole(value: float) -> int | None:
    return None if math.isnan(value) else int(value)


async def deploy_times(deployments: Sequence[Deployment]) -> list[DeployTime]:
    """Return how long deployments took, in the given order; those that never began are left out."""
    ids = [one.id for one in deployments]
    runs = await StageRun.filter(deployment_id__in=ids).order_by("deployment_id", "position")
    stages: dict[str, list[StageRun]] = {id: [] for id in ids}
    for run in runs:
        if run.started_at and run.finished_at:
            stages[run.deployment_id].append(run)
    return [_deploy_time(one, stages[one.id]) for one in deployments if stages[one.id]]


def _deploy_time(deployment: Deployment, runs: Sequence[StageRun]) -> DeployTime:
    spans = [(run.name, run.started_at, run.finished_at) for run in runs]
    known = [(name, began, ended) for name, began, ended in spans if began and ended]
    first, last = min(began for _, began, _ in known), max(ended for _, _, ended in known)
    return DeployTime(
        deployment=deployment.id,
        number=deployment.number,
        status=deployment.status.value,
        time=first,
        seconds=round((last - first).total_seconds(), 3),
        stages={name: round((ended - began).total_seconds(), 3) for name, began, ended in known},
    )
