"""What all handlers share, and what one request knows."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from aiohttp import web

from helvetia.kernel.errors import Unauthenticated
from helvetia.kernel.models import User
from helvetia.kernel.platform import Platform

if TYPE_CHECKING:
    from helvetia.kernel.contracts.guard import Guard

    from .access import Caller
    from .routing import Endpoint, Observer

Ring = Callable[[str], Awaitable[None]]
_PLANS_AT_ONCE = 2


@dataclass(slots=True, kw_only=True)
class Context:
    """One application.

    Attributes:
        ring: the doorbell for a deployment id.
        wake: has the worker of this process look at once at what was changed.
        observers: told of every answer.
        guards: asked before every request, with the names of their plugins.
        sockets: open WebSockets, to be closed at the end.
        endpoints: every REST endpoint that is mounted.
        document: what describes them; empty until somebody asks.
        planning: limits how many plans are made at once.
    """

    platform: Platform
    ring: Ring
    wake: Callable[[], None]
    observers: list[Observer] = field(default_factory=list)
    guards: list[tuple[str, Guard]] = field(default_factory=list)
    sockets: set[web.WebSocketResponse] = field(default_factory=set)
    endpoints: list[Endpoint] = field(default_factory=list)
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
