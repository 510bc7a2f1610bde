"""One request for a page: who asks, and what answers when something is wrong."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from helvetia import HelvetiaError
from helvetia.kernel.http.access import CALLER, Caller
from helvetia.kernel.http.context import CONTEXT, Call
from helvetia.kernel.platform import Platform

from .rendering import render

_TITLES = {403: "You may not do this", 404: "Not found"}


@dataclass(frozen=True, slots=True)
class Visit:
    """A request of somebody whom the kernel has let in."""

    request: web.Request

    @property
    def caller(self) -> Caller:
        """Who asks."""
        return self.request[CALLER]

    @property
    def platform(self) -> Platform:
        """The platform."""
        return self.request.app[CONTEXT].platform

    @property
    def call(self) -> Call:
        """The request as the functions behind the API take it."""
        return Call(
            request=self.request,
            context=self.request.app[CONTEXT],
            readmit=_nothing,
            known_caller=self.caller,
        )

    def show(self, template: str, *, nav: str, status: int = 200, **values: Any) -> web.Response:
        """Answer with a page."""
        return render(self.caller, self.request, template, nav=nav, status=status, **values)

    def part(self, name: str) -> str:
        """Return a named part of the path."""
        return self.request.match_info[name]


async def _nothing() -> None:
    """Stand for the second look at rights that only sockets need."""


View = Callable[[Visit], Awaitable[web.StreamResponse]]
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def page(view: View) -> Handler:
    """Turn a view into a handler that tells people's errors on a page."""

    async def handler(request: web.Request) -> web.StreamResponse:
        visit = Visit(request)
        try:
            return await view(visit)
        except HelvetiaError as error:
            return visit.show(
                "problem.html",
                nav="",
                status=error.status,
                title=_TITLES.get(error.status, "This did not work"),
                message=error.message,
                hint=error.hint,
            )

    return handler
