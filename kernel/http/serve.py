"""From a request to a handler's typed arguments, and from its result to a response."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

from aiohttp import ETag, web
from pydantic import BaseModel

from helvetia.kernel.errors import Forbidden, InvalidInput

from .access import CALLER, Caller, admit, load_deployment, load_service, require_role
from .context import CONTEXT, Call
from .origin import require_same_origin
from .problems import TooSlow, UnsupportedMedia
from .routing import Endpoint, Reply

_BODY_SECONDS = 30.0
_NUL = "\0"
_CACHE = "private, no-cache"


def make_handler(endpoint: Endpoint) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    """Return the aiohttp handler of an endpoint."""

    async def handle(request: web.Request) -> web.StreamResponse:
        caller, arguments = await _admit(request, endpoint)
        if caller is not None:
            request[CALLER] = caller
        arguments |= {name: request.match_info[name] for name in endpoint.texts}
        if endpoint.query is not None:
            arguments["query"] = _query(request, endpoint.query)
        if endpoint.body is not None:
            arguments["body"] = await _body(request, endpoint.body)
        call = Call(
            request=request,
            context=request.app[CONTEXT],
            readmit=lambda: _admit(request, endpoint),
            known_caller=caller,
        )
        result = await endpoint.handler(call=call, **arguments)
        return _answer(request, endpoint, result)

    return handle


def refuse_encoding(request: web.Request) -> None:
    """Refuse packed bodies: a small one can unpack to a very large one.

    Raises:
        UnsupportedMedia: the body is packed.
    """
    if request.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise UnsupportedMedia(
            "the body has a content encoding", hint="send it without Content-Encoding"
        )


async def _admit(request: web.Request, endpoint: Endpoint) -> tuple[Caller | None, dict[str, Any]]:
    """Pass the choke point, and load what the path names."""
    if endpoint.websocket:
        require_same_origin(request)
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
    team_id = await caller.home_team()
    if not team_id:
        raise Forbidden("you are in no team", hint="ask an operator of this installation")
    require_role(caller, role, team_id)
    return caller, {}


def _query(request: web.Request, model: type[BaseModel]) -> BaseModel:
    given: dict[str, str] = {}
    for name, value in request.query.items():
        if name in given:
            raise InvalidInput(name, "is given twice")
        given[name] = value
    return model.model_validate(given)


async def _body(request: web.Request, model: type[BaseModel]) -> BaseModel:
    refuse_encoding(request)
    try:
        async with asyncio.timeout(_BODY_SECONDS):
            raw = await request.read()
    except TimeoutError:
        raise TooSlow(f"the body did not come within {_BODY_SECONDS:g} s") from None
    if not raw:
        return model.model_validate({})
    if request.content_type != "application/json":
        raise UnsupportedMedia("the body must be JSON", hint="send Content-Type: application/json")
    body = model.model_validate_json(raw)
    # Databases do not take it, programs of tenants neither.
    if b"\\u0000" in raw:
        for path in _with_nul(json.loads(raw)):
            raise InvalidInput(path or "body", "cannot hold NUL")
    return body


def _with_nul(value: object, path: str = "") -> Iterator[str]:
    if isinstance(value, str) and _NUL in value:
        yield path
    elif isinstance(value, dict):
        for name, item in value.items():
            below = f"{path}.{name}".lstrip(".").replace(_NUL, "")
            if _NUL in name:
                yield below
            yield from _with_nul(item, below)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _with_nul(item, f"{path}.{index}".lstrip("."))


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
