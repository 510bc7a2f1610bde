"""Whether the platform is alive and ready."""

from __future__ import annotations

import asyncio
import logging
from typing import Literal

from pydantic import BaseModel
from tortoise.exceptions import BaseORMException

from helvetia.kernel.http.access import Policy
from helvetia.kernel.http.context import Call
from helvetia.kernel.http.problems import NotReady
from helvetia.kernel.http.routing import Resource
from helvetia.kernel.models import Fact

_DATABASE_SECONDS = 5.0
_log = logging.getLogger(__name__)
resource = Resource("monitoring")


class Ready(BaseModel):
    """`GET /healthz` and `GET /readyz`."""

    status: Literal["alive", "ready"]


@resource.get(
    "/healthz",
    policy=Policy.PUBLIC,
    summary="Tell whether the process is alive",
    purpose="health",
)
async def healthz(call: Call) -> Ready:
    """Tell whether the process is alive; asks nothing of others."""
    return Ready(status="alive")


@resource.get(
    "/readyz",
    policy=Policy.PUBLIC,
    summary="Tell whether requests can be served",
    purpose="health",
    errors=[NotReady],
)
async def readyz(call: Call) -> Ready:
    """Tell whether requests can be served: the database answers."""
    try:
        async with asyncio.timeout(_DATABASE_SECONDS):
            _ = await Fact.exists(id="installation")
    except (TimeoutError, OSError, BaseORMException) as error:
        _log.warning("the database does not answer: %r", error)
        raise NotReady("the database does not answer", hint="see the log of the platform") from None
    return Ready(status="ready")
