"""The OpenAPI 3.1 document, generated from the endpoints."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from http import HTTPStatus
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from helvetia.kernel.errors import (
    Forbidden,
    HelvetiaError,
    InvalidInput,
    NotFound,
    TooLarge,
    Unauthenticated,
)
from helvetia.kernel.http.access import Policy
from helvetia.kernel.http.problems import BadRequest, UnsupportedMedia
from helvetia.kernel.http.routing import Endpoint
from helvetia.kernel.http.shapes import Problem
from helvetia.version import __version__

_ABOUT = """\
The REST API of a Helvetia installation.

Times are ISO 8601 in UTC. Lists come in pages: `next` is the `cursor` of the following page.
Errors are problem details (RFC 9457). What belongs to teams of others does not exist: 404.
"""
_PARAMETERS = {
    "service": "name or id of a service",
    "deployment": "id of a deployment, or at least its first four digits",
    "hostname": "hostname of the service",
    "token": "id of a token",
    "session": "id of a browser session",
    "team": "name or id of a team",
    "membership": "name or id of a team that the caller is in",
    "user": "id of a user",
    "invitation": "id of an invitation",
    "provider": "name of an auth provider",
    "hook": "id of a webhook",
    "key": "the secret part of a deploy URL",
    "delivery": "id of a delivery",
    "channel": "id of a notification channel",
    "number": "number of a pull request",
}
_SECURITY = {
    "token": {"type": "http", "scheme": "bearer", "description": "API token `hv_...`"},
    "session": {
        "type": "apiKey",
        "in": "cookie",
        "name": "helvetia_session",
        "description": "Browser session; `__Host-helvetia_session` over TLS. Changes need the"
        " header `X-CSRF-Token` too.",
    },
}

Models = Mapping[Any, dict[str, Any]]
"""Reference to a schema by model and mode."""


def document(endpoints: Sequence[Endpoint]) -> bytes:
    """Return the document as JSON."""
    references, definitions = models_json_schema(
        list(dict.fromkeys(_models(endpoints))), ref_template="#/components/schemas/{model}"
    )
    paths: dict[str, dict[str, Any]] = {}
    for endpoint in endpoints:
        operation = _operation(endpoint, references)
        paths.setdefault(endpoint.path, {})[endpoint.method.lower()] = operation
    written = {
        "openapi": "3.1.0",
        "info": {"title": "Helvetia", "version": __version__, "description": _ABOUT},
        "paths": paths,
        "components": {
            "schemas": definitions.get("$defs", {}),
            "securitySchemes": _SECURITY,
            "responses": {"Problem": _problem_response("An error", references)},
        },
    }
    return json.dumps(written, ensure_ascii=False).encode()


def _models(endpoints: Iterable[Endpoint]) -> Iterable[tuple[type[BaseModel], Any]]:
    yield Problem, "serialization"
    for endpoint in endpoints:
        if endpoint.body is not None:
            yield endpoint.body, "validation"
        if endpoint.result is not None:
            yield endpoint.result, "serialization"


def _operation(endpoint: Endpoint, references: Models) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": endpoint.name,
        "summary": endpoint.summary,
        "description": f"{endpoint.description}\n\nFor: {endpoint.policy.value}.".strip(),
        "tags": [endpoint.tag],
        "parameters": list(_parameters(endpoint)),
        "responses": _responses(endpoint, references),
        "security": [] if endpoint.policy is Policy.PUBLIC else [{"token": []}, {"session": []}],
    }
    if endpoint.body is not None:
        operation["requestBody"] = {
            "required": any(field.is_required() for field in endpoint.body.model_fields.values()),
            "content": {"application/json": {"schema": references[endpoint.body, "validation"]}},
        }
    elif endpoint.body_media:
        schema = {"type": "string", "format": "binary"}
        operation["requestBody"] = {
            "required": True, "content": {endpoint.body_media: {"schema": schema}}
        }  # fmt: skip
    return operation


def _parameters(endpoint: Endpoint) -> Iterable[dict[str, Any]]:
    in_path = ([endpoint.loaded] if endpoint.loaded else []) + list(endpoint.texts)
    for name in in_path:
        yield {
            "name": name,
            "in": "path",
            "required": True,
            "description": _PARAMETERS.get(name, ""),  # a plugin's own has none
            "schema": {"type": "string"},
        }
    if endpoint.query is not None:
        schema = endpoint.query.model_json_schema()
        for name, value in schema.get("properties", {}).items():
            yield {
                "name": name,
                "in": "query",
                "required": name in schema.get("required", []),
                "description": value.pop("description", ""),
                "schema": value,
            }
    for name, meaning in endpoint.headers.items():
        yield {"name": name, "in": "header", "description": meaning, "schema": {"type": "string"}}
    if endpoint.has_etag:
        yield {
            "name": "If-None-Match",
            "in": "header",
            "description": "`ETag` of the answer that is known already",
            "schema": {"type": "string"},
        }


def _responses(endpoint: Endpoint, references: Models) -> dict[str, Any]:
    responses: dict[str, Any] = {}
    for status, meaning in {endpoint.status: "", **endpoint.also}.items():
        response: dict[str, Any] = {"description": meaning or HTTPStatus(status).phrase}
        if endpoint.result is not None:
            schema = references[endpoint.result, "serialization"]
            response["content"] = {endpoint.media: {"schema": schema}}
        elif endpoint.status == 200 and endpoint.media:
            kind = "object" if endpoint.media == "application/json" else "string"
            response["content"] = {endpoint.media: {"schema": {"type": kind}}}
        if endpoint.has_etag:
            response["headers"] = {"ETag": {"schema": {"type": "string"}}}
        responses[str(status)] = response
    if endpoint.has_etag:
        responses["304"] = {"description": "It has not changed"}
    for status in sorted({error.status for error in _errors(endpoint)}):
        responses[str(status)] = _problem_response(HTTPStatus(status).phrase, references)
    responses["default"] = {"$ref": "#/components/responses/Problem"}
    return responses


def _errors(endpoint: Endpoint) -> Iterable[type[HelvetiaError]]:
    yield from endpoint.errors
    if endpoint.policy is not Policy.PUBLIC:
        yield Unauthenticated
        yield Forbidden
    if endpoint.loaded:
        yield NotFound
    if endpoint.query is not None:
        yield InvalidInput
    if endpoint.body is not None:
        yield from (BadRequest, InvalidInput, TooLarge, UnsupportedMedia)


def _problem_response(description: str, references: Models) -> dict[str, Any]:
    schema = references[Problem, "serialization"]
    return {"description": description, "content": {"application/problem+json": {"schema": schema}}}
