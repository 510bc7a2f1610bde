"""`helvetia metrics`: what services use and how they answer, as a picture of one line."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from .running import LOOK, Json, run

if TYPE_CHECKING:
    from helvetia.plugins.metrics.shapes import MetricPoint, ServiceMetrics

    from .measuring_api import MeasuringApi
    from .session import Session

app = typer.Typer()

_EXAMPLES = """Examples:

  helvetia metrics                    the last hour of all services
  helvetia metrics web                the last hour of one
  helvetia metrics web --range week
  helvetia metrics web --deployments  how long its deployments took, by stage"""

_BARS = "▁▂▃▄▅▆▇█"
_WIDTH = 60


class Range(StrEnum):
    """How far back."""

    HOUR = "hour"
    DAY = "day"
    WEEK = "week"


@app.command(rich_help_panel=LOOK, epilog=_EXAMPLES)
def metrics(
    service: Annotated[
        str | None, typer.Argument(metavar="[SERVICE]", help="Name of the service.")
    ] = None,
    range: Annotated[Range, typer.Option(help="How far back.")] = Range.HOUR,
    deployments: Annotated[
        bool, typer.Option("--deployments", help="How long deployments took instead.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Show what a service uses, how it answers, and how long its deployments took."""

    async def act(session: Session) -> None:
        from .measuring_api import MeasuringApi

        api = MeasuringApi(session.api.client)
        if service is None:
            await _show_all(session, api)
        elif deployments:
            await _show_deployments(session, api, service)
        else:
            found = await api.metrics(service, range.value)
            if as_json:
                session.out.json(found)
            elif not found.points:
                session.out.note("nothing was measured yet; it takes some seconds after a start")
            else:
                session.out.facts(facts(found))

    run(act, as_json=as_json)


async def _show_all(session: Session, api: MeasuringApi) -> None:
    from .rendering import size

    lines = await api.sparklines()
    if session.out.as_json:
        session.out.json(lines)
        return
    rows = [
        [
            one.service,
            sparkline(one.cpu),
            _cores(_last(one.cpu)),
            size(_last(one.memory_bytes) or 0),
            _rate(_last(one.requests_per_second)),
        ]
        for one in lines
    ]
    session.out.table(["service", "cpu in the last hour", "cpu", "memory", "requests"], rows)


async def _show_deployments(session: Session, api: MeasuringApi, service: str) -> None:
    from .rendering import age, duration

    times = await api.deploy_times(service, limit=20)
    if session.out.as_json:
        session.out.json(times)
        return
    names = list(dict.fromkeys(name for one in times for name in one.stages))
    rows = [
        [
            str(one.number),
            age(one.time),
            one.status,
            duration(one.seconds),
            *(duration(one.stages[name]) if name in one.stages else "" for name in names),
        ]
        for one in times
    ]
    session.out.table(["number", "began", "status", "whole", *names], rows)


def facts(found: ServiceMetrics) -> list[tuple[str, str]]:
    """Return each measure as a name, and a picture with its present and its highest value."""
    from .rendering import size

    def line(pick: Callable[[MetricPoint], float | None], show: Callable[[float], str]) -> str:
        values = spread(found, pick)
        known = [value for value in values if value is not None]
        if not known:
            return ""
        return f"{sparkline(values)}  {show(known[-1])}, at most {show(max(known))}"

    return [
        ("cpu", line(lambda one: one.cpu, _cores)),
        ("memory", line(lambda one: one.memory_bytes, size)),
        ("received", line(lambda one: one.received_per_second, lambda v: f"{size(v)}/s")),
        ("sent", line(lambda one: one.sent_per_second, lambda v: f"{size(v)}/s")),
        ("requests", line(lambda one: one.requests_per_second, _rate)),
        ("failed", line(_failed, lambda value: f"{value:.0f}")),
        ("p50", line(lambda one: one.p50, _milliseconds)),
        ("p95", line(lambda one: one.p95, _milliseconds)),
        ("p99", line(lambda one: one.p99, _milliseconds)),
        ("restarts", line(lambda one: one.restarts, lambda value: f"{value:.0f}")),
    ]


def spread(
    found: ServiceMetrics, pick: Callable[[MetricPoint], float | None]
) -> list[float | None]:
    """Return the highest value of each of as many stretches of time as a line is wide."""
    last = found.points[-1].time
    first = found.points[0].time
    step = max(found.step_seconds, (last - first) / (_WIDTH - 1))
    values: list[float | None] = [None] * (int((last - first) / step) + 1)
    for point in found.points:
        at, value = int((point.time - first) / step), pick(point)
        if value is not None:
            values[at] = max(value, values[at] or 0)
    return values


def sparkline(values: Sequence[float | None]) -> str:
    """Draw values in one line, from nothing to the highest; what is not known is a blank."""
    top = max((value for value in values if value is not None), default=0) or 1
    return "".join(
        " " if value is None else _BARS[min(int(value / top * len(_BARS)), len(_BARS) - 1)]
        for value in values
    )


def _failed(point: MetricPoint) -> float | None:
    return None if point.statuses is None else point.statuses.get("5xx", 0)


def _last(values: Sequence[float | None]) -> float | None:
    return next((value for value in reversed(values) if value is not None), None)


def _cores(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def _rate(value: float | None) -> str:
    return "" if value is None else f"{value:.1f}/s"


def _milliseconds(value: float) -> str:
    return f"{value * 1000:.0f} ms"
