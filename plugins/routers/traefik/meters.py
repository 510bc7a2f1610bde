"""Requests by service, status and time, from what Traefik shows to Prometheus."""

from __future__ import annotations

import re
from collections import defaultdict

from helvetia import Meter

BUCKETS = (0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
"""Upper bounds in seconds by which our own Traefik counts."""
_COUNT = re.compile(
    r'^traefik_router_requests_total\{code="(\d)[^}]*service="([^"]+)@file"\} (\S+)', re.M
)
_BUCKET = re.compile(
    r'^traefik_router_request_duration_seconds_bucket\{[^}]*service="([^"]+)@file",'
    r'le="([^"]+)"\} (\S+)',
    re.M,
)
_Key = tuple[str, str]


def read_meters(text: str) -> dict[_Key, Meter]:
    """Return the meters by service and release; what is not of ours is left out."""
    statuses: defaultdict[_Key, defaultdict[int, int]] = defaultdict(lambda: defaultdict(int))
    cumulative: defaultdict[_Key, defaultdict[float, int]] = defaultdict(lambda: defaultdict(int))
    for code, name, value in _COUNT.findall(text):
        if key := _key(name):
            statuses[key][int(code)] += int(float(value))
    for name, bound, value in _BUCKET.findall(text):
        if key := _key(name):
            cumulative[key][float(bound)] += int(float(value))
    return {
        key: Meter(statuses=dict(counts), seconds=_apart(cumulative[key]))
        for key, counts in statuses.items()
    }


def _key(name: str) -> _Key | None:
    service, dot, release = name.partition(".")
    return (service, release) if dot and release else None


def _apart(cumulative: dict[float, int]) -> dict[float, int]:
    """Return how many lie between each bound and the one before it."""
    below = 0
    counts = {}
    for bound in sorted(cumulative):
        counts[bound], below = cumulative[bound] - below, cumulative[bound]
    return counts
