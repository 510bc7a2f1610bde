"""Read what comes in: bounded in size and time, never unpacked."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from typing import TypeVar

from aiohttp import web
from pydantic import BaseModel

from helvetia.kernel.errors import HelvetiaError, InvalidInput

from .problems import BadRequest, TooSlow, UnsupportedMedia

Model = TypeVar("Model", bound=BaseModel)
BODY_SECONDS = 30.0
_NUL = "\0"


def refuse_encoding(request: web.Request) -> None:
    """Refuse packed bodies: a small one can unpack to a very large one.

    Raises:
        UnsupportedMedia: the body is packed.
    """
    if request.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise UnsupportedMedia(
            "the body has a content encoding", hint="send it without Content-Encoding"
        )


@asynccontextmanager
async def reading(seconds: float) -> AsyncIterator[None]:
    """Guard the reading of a body.

    Raises:
        TooSlow: it took too long.
        BadRequest: the connection broke, or the framing is wrong.
    """
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError:
        raise TooSlow(f"the body did not come within {seconds:g} s") from None
    except (web.RequestPayloadError, ConnectionError):
        raise BadRequest("the body was cut off") from None


async def read_json(request: web.Request, model: type[Model]) -> Model:
    """Return a validated JSON body; no body is an empty object.

    Raises:
        HelvetiaError: it cannot be read.
        ValidationError: it is not JSON, or not what it should be.
    """
    refuse_encoding(request)
    async with reading(BODY_SECONDS):
        raw = await request.read()
    if not raw:
        return model.model_validate({})
    if request.content_type != "application/json":
        raise UnsupportedMedia("the body must be JSON", hint="send Content-Type: application/json")
    body = model.model_validate_json(raw)
    value = json.loads(raw, object_pairs_hook=_once)
    # Databases do not take it, programs of tenants neither.
    if b"\\u0000" in raw:
        for path in _with_nul(value):
            raise InvalidInput(path or "body", "cannot hold NUL")
    return body


async def read_form(request: web.Request) -> Mapping[str, str]:
    """Return the texts of a form; empty if the body is none. Reading it again is free.

    Raises:
        HelvetiaError: it cannot be read.
    """
    refuse_encoding(request)
    try:
        async with reading(BODY_SECONDS):
            form = await request.post()
    except (HelvetiaError, web.HTTPException):
        raise
    except Exception:
        # aiohttp raises all kinds of things on malformed forms: LookupError, AssertionError, ...
        raise BadRequest("the form cannot be read") from None
    return {name: value for name, value in form.items() if isinstance(value, str)}


def _once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """Refuse a name that is given twice: a proxy may have looked at the other one."""
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in found if names.count(name) > 1)
        raise InvalidInput(twice or "body", "is given twice")
    return found


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
