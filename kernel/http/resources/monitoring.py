"""Whether the platform is alive and ready, and what it counts."""

from __future__ import annotations

import asyncio
import logging

from aiohttp import web
from tortoise.exceptions import BaseORMException

from helvetia.kernel import metrics as platform_metrics
from helvetia.kernel.http import schemas
from helvetia.kernel.http.access import Policy
from helvetia.kernel.http.context import Call
from helvetia.kernel.http.problems import NotReady
from helvetia.kernel.http.routing import Resource
from helvetia.kernel.models import Fact

_DATABASE_SECONDS = 5.0
_log = logging.getLogger(__name__)
resource = Resource("monitoring")


@resource.get("/healthz", policy=Policy.PUBLIC, summary="Tell whether the process is alive")
async def healthz(call: Call) -> schemas.Ready:
    """Tell whether the process is alive; asks nothing of others."""
    return schemas.Ready(status="alive")


@resource.get(
    "/readyz",
    policy=Policy.PUBLIC,
    summary="Tell whether requests can be served",
    errors=[NotReady],
)
async def readyz(call: Call) -> schemas.Ready:
    """Tell whether requests can be served: the database answers."""
    try:
        async with asyncio.timeout(_DATABASE_SECONDS):
            _ = await Fact.exists(id="installation")
    except (TimeoutError, OSError, BaseORMException) as error:
        _log.warning("the database does not answer: %r", error)
        raise NotReady("the database does not answer", hint="see the log of the platform") from None
    return schemas.Ready(status="ready")


@resource.get(
    "/metrics",
    policy=Policy.SIGNED_IN,
    summary="Show counters for Prometheus",
    media="text/plain",
)
async def metrics(call: Call) -> web.Response:
    """Show counters in the text format of Prometheus."""
    body = await call.context.metrics.render(call.platform)
    return web.Response(body=body, headers={"Content-Type": platform_metrics.CONTENT_TYPE})
