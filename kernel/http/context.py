"""What all handlers share, and what one request knows."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from aiohttp import web

from helvetia.kernel.errors import Unauthenticated
from helvetia.kernel.metrics import Metrics
from helvetia.kernel.models import User
from helvetia.kernel.platform import Platform

if TYPE_CHECKING:
    from .access import Caller

Ring = Callable[[str], Awaitable[None]]
_PLANS_AT_ONCE = 2


@dataclass(slots=True, kw_only=True)
class Context:
    """One application.

    Attributes:
        ring: the doorbell for a deployment id.
        sockets: open WebSockets, to be closed at the end.
        document: the OpenAPI document.
        planning: limits how many plans are made at once.
    """

    platform: Platform
    ring: Ring
    metrics: Metrics = field(default_factory=Metrics)
    sockets: set[web.WebSocketResponse] = field(default_factory=set)
    document: bytes = b""
    planning: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(_PLANS_AT_ONCE))


CONTEXT: web.AppKey[Context] = web.AppKey("helvetia.context", Context)
REQUEST_ID: web.RequestKey[str] = web.RequestKey("helvetia.request_id", str)


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One admitted request, as handlers get it.

    Attributes:
        readmit: checks the caller's rights again; for connections that stay open.
    """

    request: web.Request
    context: Context
    readmit: Callable[[], Awaitable[object]]
    known_caller: Caller | None = None

    @property
    def platform(self) -> Platform:
        """The platform."""
        return self.context.platform

    @property
    def caller(self) -> Caller:
        """Who asks.

        Raises:
            Unauthenticated: nobody is signed in, which only a public endpoint can meet.
        """
        if self.known_caller is None:
            raise Unauthenticated("nobody is signed in")
        return self.known_caller

    @property
    def user(self) -> User:
        """The user who asks."""
        return self.caller.user
