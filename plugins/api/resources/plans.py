"""Plans: who would do each stage, and why."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
from collections.abc import AsyncIterator

from helvetia.kernel.contracts.source import SourceAddress
from helvetia.kernel.errors import NoProvider, NotFound, SourceError
from helvetia.kernel.http.access import Policy, load_service
from helvetia.kernel.http.context import Call
from helvetia.kernel.http.problems import NotReady
from helvetia.kernel.http.routing import Resource
from helvetia.kernel.models import Role, new_id
from helvetia.kernel.pipeline.planning import (
    Plan,
    choose,
    choose_router,
    choose_source,
    explain,
    fetch,
)
from helvetia.kernel.pipeline.workspaces import workspace
from helvetia.kernel.platform import Platform
from helvetia.plugins.api import schemas, services

_TURN_SECONDS = 30.0
resource = Resource("plans")


class _NoLog:
    """Takes lines that nobody reads: a plan is its own explanation."""

    def line(self, text: str) -> None:
        """Forget a line."""

    def write(self, data: bytes, stream: str = "stdout") -> None:
        """Forget output."""


@contextlib.asynccontextmanager
async def _turn(planning: asyncio.Semaphore) -> AsyncIterator[None]:
    """Wait for one's turn, but not for ever."""
    try:
        async with asyncio.timeout(_TURN_SECONDS):
            _ = await planning.acquire()
    except TimeoutError:
        raise NotReady("other plans are being made", hint="try again in a minute") from None
    try:
        yield
    finally:
        planning.release()


@resource.post(
    "/api/v1/plans",
    policy=Policy.MEMBER,
    summary="Explain a deployment before it is made",
    errors=[NoProvider, NotFound, SourceError, NotReady],
)
async def create(call: Call, body: schemas.PlanRequest) -> schemas.Plan:
    """Fetch the source, ask every plugin, and forget it: nothing is built or kept.

    What was given to `service` is used if its repository is the one that is planned.
    """
    services.check_source_text(body.source)
    service = await load_service(call.caller, body.service, Role.MEMBER) if body.service else None
    address = SourceAddress(
        url=body.source,
        ref=body.ref,
        trusted=services.may_name_paths(call.platform, is_operator=call.user.is_operator),
        service_id=service.id if service else "",
        user_id=call.user.id,
        options=body.settings.source,
    )
    async with _turn(call.context.planning):
        plan = await _plan(call.platform, address, body)
    return schemas.Plan.model_validate(dataclasses.asdict(plan))


async def _plan(platform: Platform, address: SourceAddress, body: schemas.PlanRequest) -> Plan:
    """Fetch the revision into a folder of its own, explain what would be done, and forget it."""
    pins = {str(family): name for family, name in body.settings.providers.items()}
    source, claims = choose_source(platform, address.url, pins)
    async with workspace(platform, f"plan-{new_id()}") as folder:
        checkout = folder / "checkout"
        checkout.mkdir(parents=True)
        revision = await fetch(platform, source, address, folder=checkout, log=_NoLog())
        choice = await choose(
            platform, checkout, service_type=body.type, settings=body.settings.model_dump()
        )
    return explain(
        platform,
        address=address,
        revision=revision,
        source=source,
        claims=claims,
        choice=choice,
        router=await choose_router(platform, pins),
    )
