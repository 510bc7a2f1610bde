"""Ask the API's own functions, as a program would over HTTP, for whoever visits a page.

The dashboard knows an endpoint by its method and path alone. Which plugin offers it, and whether
any does, is seen when it is asked: a page shows what is there.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from aiohttp import web

from helvetia import HelvetiaError
from helvetia.kernel.errors import Forbidden, NotFound
from helvetia.kernel.http.access import (
    SAFE,
    Caller,
    Policy,
    load_deployment,
    load_service,
    load_team,
    require_everything,
    require_role,
)
from helvetia.kernel.http.context import CONTEXT, Call
from helvetia.kernel.http.routing import Endpoint, Reply
from helvetia.kernel.http.serve import journal
from helvetia.kernel.models import Deployment, Service

_LOAD: Mapping[str, Callable[..., Awaitable[Any]]] = {
    "service": load_service,
    "deployment": load_deployment,
    "team": load_team,
}


def find(request: web.Request, method: str, path: str) -> Endpoint | None:
    """Return an endpoint; None if no plugin that works offers it."""
    endpoints = request.app[CONTEXT].endpoints
    return next((one for one in endpoints if (one.method, one.path) == (method, path)), None)


async def ask(
    call: Call,
    method: str,
    path: str,
    *,
    query: Mapping[str, Any] | None = None,
    body: Mapping[str, Any] | None = None,
    **parts: Any,
) -> Any:
    """Call an endpoint with the caller's rights, and return what it shows.

    Args:
        call: the request for a page.
        method: of the endpoint.
        path: of the endpoint, with its parameters in braces.
        query: what would stand behind the question mark.
        body: the JSON that would be sent.
        parts: parameters of the path; a service, deployment or team by its name, or the
            first two as rows.

    Raises:
        HelvetiaError: what the endpoint raises, and `NotFound` if there is none.
        ValidationError: the query or the body is refused.
    """
    endpoint = find(call.request, method, path)
    if endpoint is None:
        raise NotFound("no plugin here offers this", hint="see the page of plugins")
    arguments = await _admitted(call.caller, endpoint, parts)
    if endpoint.query is not None:
        given = {name: value for name, value in (query or {}).items() if value is not None}
        arguments["query"] = endpoint.query.model_validate(given)
    if endpoint.body is not None:
        arguments["body"] = endpoint.body.model_validate(body or {})
    result = await endpoint.handler(call=call, **arguments)
    if method not in SAFE:
        await journal(endpoint, arguments)
    return result.value if isinstance(result, Reply) else result


async def ask_if_there(call: Call, method: str, path: str, **given: Any) -> Any:
    """The same; None where nobody offers it, or it cannot be had now."""
    try:
        return await ask(call, method, path, **given)
    except HelvetiaError:
        return None


async def _admitted(caller: Caller, endpoint: Endpoint, parts: dict[str, Any]) -> dict[str, Any]:
    """Pass the same rules that the endpoint has over HTTP."""
    policy, role = endpoint.policy, endpoint.policy.role
    if policy is Policy.OPERATOR:
        if not caller.user.is_operator:
            raise Forbidden("only operators of the installation may do this")
        require_everything(caller)
    given = dict(parts)
    if role is None:
        return given
    if endpoint.loaded is None:
        team_id = await caller.home_team(role)
        if not team_id:
            raise Forbidden("you are in no team", hint="ask an operator of this installation")
        require_role(caller, role, team_id)
        return given
    named = given[endpoint.loaded]
    if isinstance(named, Service):
        require_role(caller, role, named.team_id)
    elif isinstance(named, Deployment):
        require_role(caller, role, named.service.team_id)
    else:
        given[endpoint.loaded] = await _LOAD[endpoint.loaded](caller, named, role)
    return given
