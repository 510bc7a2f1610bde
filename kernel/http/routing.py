"""Declare endpoints: each says who may call it and what goes in and out, by its own types.

A handler takes some of these by name: `call` (always), `service`, `deployment` or `team` (loaded
and admitted by the choke point, named in the path), `body` and `query` (validated), and every other
parameter of the path as text. Its return type is what the API shows::

    resource = Resource("services")

    @resource.get("/api/v1/services/{service}", policy=Policy.VIEWER, summary="Show a service")
    async def show(call: Call, service: Service) -> schemas.ServiceDetail: ...
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar, get_args, get_origin, get_type_hints

from aiohttp import web
from pydantic import BaseModel

from helvetia.kernel.errors import HelvetiaError

from .access import Policy

Value = TypeVar("Value")
Function = TypeVar("Function", bound=Callable[..., Awaitable[Any]])

_PARAMETER = re.compile(r"{(\w+)}")
_LOADED = ("service", "deployment", "team")


Observer = Callable[[str, str, int, float | None], None]
"""Takes method, pattern of the path, status, and seconds (None for what was to stay open)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply(Generic[Value]):
    """A result with another status than the endpoint's usual one."""

    value: Value
    status: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """One method of one path.

    Attributes:
        name: the operation id.
        result: the model that is shown; None if there is none, or the handler answers itself.
        texts: parameters of the path that the handler takes as text.
        loaded: `service`, `deployment` or `team` if the path names one.
        headers: request headers that matter, with what they mean.
        also: other statuses of success, with what they mean.
        media: type of the answer; "" if there is none to speak of.
        body_media: type of a body that the handler reads itself.
        websocket: the connection is upgraded.
        purpose: what guards are told of it; see `Guard`.
    """

    method: str
    path: str
    tag: str
    name: str
    summary: str
    description: str
    policy: Policy
    handler: Callable[..., Awaitable[Any]]
    status: int = 200
    body: type[BaseModel] | None = None
    query: type[BaseModel] | None = None
    result: Any = None
    texts: tuple[str, ...] = ()
    loaded: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    also: Mapping[int, str] = field(default_factory=dict)
    errors: Sequence[type[HelvetiaError]] = ()
    media: str = "application/json"
    body_media: str = ""
    websocket: bool = False
    purpose: str = "request"

    @property
    def has_etag(self) -> bool:
        """Whether the answer carries a hash of itself, by which it is not sent twice."""
        return self.method == "GET" and self.result is not None


class Resource:
    """The endpoints of one module.

    Args:
        tag: the group in the OpenAPI document.
        observer: told of every answer of the control plane.
    """

    def __init__(self, tag: str, *, observer: Observer | None = None) -> None:
        self.tag = tag
        self.observer = observer
        self.endpoints: list[Endpoint] = []

    def get(self, path: str, **declared: Any) -> Callable[[Function], Function]:
        """Declare how to read something."""
        return self._declare("GET", path, **declared)

    def post(self, path: str, **declared: Any) -> Callable[[Function], Function]:
        """Declare how to make something, or to set something going."""
        return self._declare("POST", path, **declared)

    def patch(self, path: str, **declared: Any) -> Callable[[Function], Function]:
        """Declare how to change something."""
        return self._declare("PATCH", path, **declared)

    def delete(self, path: str, **declared: Any) -> Callable[[Function], Function]:
        """Declare how to remove something."""
        return self._declare("DELETE", path, **declared)

    def _declare(self, method: str, path: str, **declared: Any) -> Callable[[Function], Function]:
        if not isinstance(declared.get("policy"), Policy):
            raise TypeError(f"{method} {path} has no policy")

        def declare(handler: Function) -> Function:
            self.endpoints.append(
                _endpoint(
                    handler,
                    method=method,
                    path=path,
                    tag=self.tag,
                    name=f"{self.tag}_{handler.__name__}",
                    description=_about(handler),
                    **declared,
                )
            )
            return handler

        return declare


def _endpoint(handler: Callable[..., Awaitable[Any]], **declared: Any) -> Endpoint:
    """Read the rest of the declaration from the types of the handler.

    Raises:
        TypeError: they do not fit the path or the policy.
    """
    where = f"{declared['method']} {declared['path']}"
    hints = get_type_hints(handler)
    result = hints.pop("return", None)
    takes = list(inspect.signature(handler).parameters)
    in_path = _PARAMETER.findall(declared["path"])
    for name in takes:
        if name not in ("call", "body", "query", *in_path):
            raise TypeError(f"{where}: the handler takes `{name}`, which nobody gives")
    loaded = next((name for name in in_path if name in _LOADED), None)
    policy: Policy = declared["policy"]
    if loaded and policy.role is None:
        raise TypeError(f"{where}: the policy must say which role the {loaded} needs")
    if set(in_path) - set(takes):
        raise TypeError(f"{where}: the handler does not take {set(in_path) - set(takes)}")
    return Endpoint(
        handler=handler,
        body=hints.get("body"),
        query=hints.get("query"),
        result=_model(result),
        texts=tuple(name for name in in_path if name != loaded),
        loaded=loaded,
        **declared,
    )


def _model(result: Any) -> Any:
    if get_origin(result) is Reply:
        return get_args(result)[0]
    if isinstance(result, type) and issubclass(result, web.StreamResponse | type(None)):
        return None
    return result


def _about(handler: Callable[..., object]) -> str:
    text = inspect.getdoc(handler) or ""
    _, _, rest = text.partition("\n\n")
    return rest.strip()
