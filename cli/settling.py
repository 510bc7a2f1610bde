"""Wait until what was asked for has come true."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from helvetia.kernel.errors import HelvetiaError, NotFound, Unreachable
from helvetia.plugins.api.schemas import Deployment, Service

from .session import Session
from .waiting import ENDED

SECONDS = 120.0

Value = TypeVar("Value")


async def until_stopped(session: Session, service: Service) -> Service:
    """Wait until nothing of a service runs.

    Raises:
        HelvetiaError: it takes longer than two minutes.
    """

    async def look() -> Service | None:
        now = await session.api.service(service.id)
        return now if now.status == "STOPPED" else None

    return await _until(session, look, what=f"{service.name} to stop")


async def until_gone(session: Session, service: Service) -> None:
    """Wait until a service is deleted.

    Raises:
        HelvetiaError: it takes longer than two minutes.
    """

    async def look() -> bool | None:
        try:
            await session.api.service(service.id)
        except NotFound:
            return True
        return None

    await _until(session, look, what=f"{service.name} to be deleted")


async def until_ended(session: Session, deployment: Deployment) -> Deployment:
    """Wait until a deployment has ended in one way or another.

    Raises:
        HelvetiaError: it takes longer than two minutes.
    """

    async def look() -> Deployment | None:
        now = await session.api.deployment(deployment.id)
        return now if now.status in ENDED else None

    return await _until(session, look, what=f"deployment {deployment.number} to end")


async def _until(
    session: Session, look: Callable[[], Awaitable[Value | None]], *, what: str
) -> Value:
    pause = 0.1
    try:
        async with asyncio.timeout(SECONDS):
            with session.out.working(f"waiting for {what}"):
                while (value := await _patiently(look)) is None:
                    await asyncio.sleep(pause)
                    pause = min(pause * 1.5, 1.0)
                return value
    except TimeoutError:
        raise HelvetiaError(
            f"waited {SECONDS:.0f} s for {what}",
            hint="it goes on by itself; see `helvetia services` and `helvetia doctor`",
        ) from None


async def _patiently(look: Callable[[], Awaitable[Value | None]]) -> Value | None:
    """Look, and see a control plane that does not answer as not there yet."""
    try:
        return await look()
    except Unreachable:
        return None
