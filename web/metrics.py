"""What the instances of a service used and how they answered: numbers, and graphs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from .filters import seconds, size
from .service_page import frame, load
from .visit import Visit

_PATH = "/api/v1/services/{service}/metrics"
_RANGES = (("hour", "Last hour"), ("day", "Last day"), ("week", "Last week"))
# Colours of stages go round; the names beside them tell what is what.
_COLOURS = 6
_UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Graph:
    """One graph: which fields of the points it shows, and in which unit."""

    name: str
    title: str
    fields: str
    unit: str
    now: str


@dataclass(frozen=True, slots=True)
class Bar:
    """A stage in the picture of a deployment: where it begins, and how long it is, of 1000."""

    name: str
    start: float
    length: float
    colour: int


@dataclass(frozen=True, slots=True)
class Timing:
    """How long a deployment took, as a picture."""

    shown: Any
    bars: list[Bar]


async def show(visit: Visit) -> web.Response:
    """Show the metrics of a service."""
    service = await load(visit)
    wanted = visit.request.query.get("range", "hour")
    chosen = wanted if wanted in dict(_RANGES) else "hour"
    found = await visit.ask("GET", _PATH, service=service, query={"range": chosen})
    times = await visit.ask("GET", f"{_PATH}/deployments", service=service, query={"limit": 15})
    path = _PATH.format(service=service.name)
    return await frame(
        visit, service, "service_metrics.html", "metrics",
        is_live=False,
        graphs=_graphs(found.points[-1] if found.points else None),
        points=len(found.points),
        read=f"{path}?range={chosen}",
        follow=f"{path}/live" if chosen == "hour" else "",
        range=chosen,
        ranges=_RANGES,
        timings=_timings(times.items),
    )  # fmt: skip


def _graphs(last: Any) -> list[Graph]:
    def now(field: str, form: Callable[..., str] = "{:.3g}".format) -> str:
        value = getattr(last, field, None)
        return _UNKNOWN if value is None else form(value)

    rate = now("received_per_second", size)
    return [
        Graph("cpu", "CPU", "cpu", "cores", now("cpu")),
        Graph("memory", "Memory", "memory_bytes", "bytes", now("memory_bytes", size)),
        Graph("requests", "Requests per second", "2xx 3xx 4xx 5xx", "requests",
              now("requests_per_second")),
        Graph("latency", "Latency", "p50 p95 p99", "seconds", now("p95", seconds)),
        Graph("network", "Network", "received_per_second sent_per_second", "bytes",
              rate if rate == _UNKNOWN else f"{rate}/s"),
        Graph("restarts", "Restarts", "restarts", "count", now("restarts", str)),
    ]  # fmt: skip


def _timings(times: Sequence[Any]) -> list[Timing]:
    longest = max((one.seconds for one in times), default=0) or 1.0
    colours: dict[str, int] = {}
    found = []
    for one in times:
        bars, at = [], 0.0
        for name, took in one.stages.items():
            colour = colours.setdefault(name, len(colours) % _COLOURS + 1)
            length = took / longest * 1000
            bars.append(Bar(name, round(at, 1), round(max(length, 1.0), 1), colour))
            at += length
        found.append(Timing(one, bars))
    return found
