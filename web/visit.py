"""One request for a page: who asks, and what answers when something is wrong."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from pydantic import ValidationError

from helvetia import HelvetiaError
from helvetia.kernel.http.access import CALLER, Caller
from helvetia.kernel.http.bodies import read_form
from helvetia.kernel.http.context import CONTEXT, Call
from helvetia.kernel.http.problems import to_problem
from helvetia.kernel.platform import Platform

from . import asking
from .rendering import render

_TITLES = {403: "You may not do this", 404: "Not found"}
REFUSALS = (HelvetiaError, ValidationError)
"""What a page tells people, rather than the log of the platform."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why something was not done: a sentence, what to do, and the fields that are wrong."""

    message: str
    hint: str = ""
    status: int = 422
    fields: Mapping[str, str] = field(default_factory=dict)


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

    async def ask(self, method: str, path: str, **given: Any) -> Any:
        """Ask the API; see `asking.ask`."""
        return await asking.ask(self.call, method, path, **given)

    async def ask_if_there(self, method: str, path: str, **given: Any) -> Any:
        """Ask the API for what may not be there; see `asking.ask_if_there`."""
        return await asking.ask_if_there(self.call, method, path, **given)

    def has(self, method: str, path: str) -> bool:
        """Tell whether a plugin offers an endpoint."""
        return asking.find(self.request, method, path) is not None

    def may(self, method: str, path: str, team_id: str) -> bool:
        """Tell whether a plugin offers an endpoint, and the visitor's role in a team suffices."""
        endpoint = asking.find(self.request, method, path)
        role = endpoint.policy.role if endpoint else None
        return endpoint is not None and (role is None or self.caller.may(role, team_id))

    async def form(self) -> Mapping[str, str]:
        """Return what was sent with a form."""
        return await read_form(self.request)

    def show(self, template: str, *, nav: str, status: int = 200, **values: Any) -> web.Response:
        """Answer with a page."""
        return render(self.caller, self.request, template, nav=nav, status=status, **values)

    def part(self, name: str) -> str:
        """Return a named part of the path."""
        return self.request.match_info[name]

    def refusal(self, error: Exception) -> Refusal:
        """Return an error as a page tells it."""
        told = to_problem(error, "")
        fields = {one.field: one.message for one in told.errors}
        return Refusal(told.detail, told.hint, told.status, fields)


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
        except REFUSALS as error:
            refusal = visit.refusal(error)
            title = _TITLES.get(refusal.status, "This did not work")
            status = refusal.status
            return visit.show("problem.html", nav="", status=status, title=title, refusal=refusal)

    return handler
