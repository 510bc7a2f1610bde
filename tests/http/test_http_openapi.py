"""The OpenAPI document is valid and complete."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from http_support import World
from openapi_spec_validator import OpenAPIV31SpecValidator

from helvetia.kernel.http.access import Policy
from helvetia.plugins.api.openapi import document
from tests.stock import endpoints


@pytest.fixture(scope="module")
def spec() -> dict[str, Any]:
    parsed: dict[str, Any] = json.loads(document(endpoints()))
    return parsed


def test_it_is_valid(spec: dict[str, Any]) -> None:
    assert [error.message for error in OpenAPIV31SpecValidator(spec).iter_errors()] == []


def test_every_endpoint_is_in_it(spec: dict[str, Any]) -> None:
    written = {
        (method.upper(), path) for path, methods in spec["paths"].items() for method in methods
    }
    assert written == {(one.method, one.path) for one in endpoints()}
    ids = [one["operationId"] for methods in spec["paths"].values() for one in methods.values()]
    assert len(set(ids)) == len(ids)


def test_operations_say_what_goes_in_and_out(spec: dict[str, Any]) -> None:
    for endpoint in endpoints():
        operation = spec["paths"][endpoint.path][endpoint.method.lower()]
        in_path = {one["name"] for one in operation["parameters"] if one["in"] == "path"}
        assert all(one["description"] for one in operation["parameters"] if one["in"] == "path")
        assert in_path == set(re.findall(r"{(\w+)}", endpoint.path))
        assert bool(operation["security"]) is (endpoint.policy is not Policy.PUBLIC)
        assert operation["summary"]
        responses = operation["responses"]
        assert str(endpoint.status) in responses
        if endpoint.policy is not Policy.PUBLIC:
            assert "application/problem+json" in responses["401"]["content"]
        if endpoint.loaded:
            assert "application/problem+json" in responses["404"]["content"]
        if endpoint.body is not None:
            assert "application/problem+json" in responses["422"]["content"]
            assert "application/json" in operation["requestBody"]["content"]


def test_deploying_is_documented(spec: dict[str, Any]) -> None:
    operation = spec["paths"]["/api/v1/services/{service}/deployments"]["post"]
    assert {"Idempotency-Key"} == {
        one["name"] for one in operation["parameters"] if one["in"] == "header"
    }
    assert set(operation["responses"]) >= {"200", "201", "400", "401", "403", "404", "409", "422"}
    assert operation["requestBody"]["required"] is False
    listing = spec["paths"]["/api/v1/services"]["get"]
    limit = next(one for one in listing["parameters"] if one["name"] == "limit")
    assert limit["schema"]["maximum"] == 100


async def test_it_is_served(world: World, spec: dict[str, Any]) -> None:
    answer = await world.get("/openapi.json", who=None)
    assert (answer.status, answer.json) == (200, spec)
