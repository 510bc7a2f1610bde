"""From a request to a handler's typed arguments, and from its result to a response."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import ETag, web
from pydantic import BaseModel

from helvetia.kernel import events
from helvetia.kernel.errors import Forbidden, InvalidInput

from .access import (
    CALLER,
    SAFE,
    Caller,
    admit,
    load_deployment,
    load_service,
    load_team,
    require_role,
)
from .bodies import read_json
from .context import CONTEXT, Call
from .guarding import pass_guards
from .origin import require_own_origin
from .routing import Endpoint, Reply

_CACHE = "private, no-cache"


def make_handler(endpoint: Endpoint) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    """Return the aiohttp handler of an endpoint."""

    purpose = "websocket" if endpoint.websocket else endpoint.purpose

    async def handle(request: web.Request) -> web.StreamResponse:
        await pass_guards(request, purpose)
        caller, arguments = await _admit(request, endpoint)
        if caller is not None:
            request[CALLER] = caller
        arguments |= {name: request.match_info[name] for name in endpoint.texts}
        if endpoint.query is not None:
            arguments["query"] = _query(request, endpoint.query)
        if endpoint.body is not None:
            arguments["body"] = await read_json(request, endpoint.body)
        call = Call(
            request=request,
            context=request.app[CONTEXT],
            readmit=lambda: _admit(request, endpoint),
            known_caller=caller,
        )
        result = await endpoint.handler(call=call, **arguments)
        if caller is not None and request.method not in SAFE:
            await journal(endpoint, arguments)
        return _answer(request, endpoint, result)

    return handle


async def _admit(request: web.Request, endpoint: Endpoint) -> tuple[Caller | None, dict[str, Any]]:
    """Pass the choke point, and load what the path names."""
    if endpoint.websocket:
        require_own_origin(request)
    caller = await admit(request, endpoint.policy)
    role = endpoint.policy.role
    if caller is None or role is None:
        return caller, {}
    if endpoint.loaded == "service":
        key = request.match_info["service"]
        return caller, {"service": await load_service(caller, key, role)}
    if endpoint.loaded == "deployment":
        key = request.match_info["deployment"]
        return caller, {"deployment": await load_deployment(caller, key, role)}
    if endpoint.loaded == "team":
        return caller, {"team": await load_team(caller, request.match_info["team"], role)}
    team_id = await caller.home_team(role)
    if not team_id:
        raise Forbidden("you are in no team", hint="ask an operator of this installation")
    require_role(caller, role, team_id)
    return caller, {}


async def journal(endpoint: Endpoint, arguments: dict[str, Any]) -> None:
    """Write down a change of which the handler wrote nothing: none goes without an entry."""
    if events.ORIGIN.get(events.Origin()).recorded:
        return
    deployment, team = arguments.get("deployment"), arguments.get("team")
    service = deployment.service if deployment else arguments.get("service")
    kind = f"{endpoint.tag}.{endpoint.handler.__name__.replace('_', '-')}"
    team_id = service.team_id if service else team and team.id
    ids: tuple[Any, ...] = (service and service.id, deployment and deployment.id)
    await events.record(kind, team_id=team_id, service_id=ids[0], deployment_id=ids[1])


def _query(request: web.Request, model: type[BaseModel]) -> BaseModel:
    given: dict[str, str] = {}
    for name, value in request.query.items():
        if name in given:
            raise InvalidInput(name, "is given twice")
        given[name] = value
    return model.model_validate(given)


def _answer(request: web.Request, endpoint: Endpoint, result: Any) -> web.StreamResponse:
    if isinstance(result, web.StreamResponse):
        return result
    status = endpoint.status
    if isinstance(result, Reply):
        status, result = result.status, result.value
    if result is None:
        return web.Response(status=204)
    if not isinstance(result, BaseModel):
        raise TypeError(f"{endpoint.name} returned a {type(result).__name__}")
    body = result.model_dump_json().encode()
    response = web.Response(body=body, status=status, content_type="application/json")
    response.headers["Vary"] = "Authorization, Cookie"
    if endpoint.has_etag:
        tag = hashlib.sha256(body).hexdigest()[:32]
        known = request.if_none_match or ()
        if any(one.value in (tag, "*") for one in known):
            response = web.Response(status=304, headers={"Vary": "Authorization, Cookie"})
        response.etag = ETag(tag)
        response.headers["Cache-Control"] = _CACHE
    return response
