"""Schemathesis against the OpenAPI document and the platform: no 5xx, nothing undocumented."""

from __future__ import annotations

import asyncio
import copy
import warnings
from typing import Any

import pytest
import requests
import schemathesis
from http_support import TOKENS, World, make_deployment, make_release, make_service
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import Case, GenerationMode
from schemathesis.checks import (
    CheckFunction,
    content_type_conformance,
    not_a_server_error,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from helvetia.kernel.models import Domain, utcnow

CHECKS: list[CheckFunction] = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
# What there is, so that not every path leads to a 404.
KNOWN = {"service": "web", "hostname": "www.example.com", "provider": "form"}
# Of any address: the guards and the framing of a request are not told endpoint by endpoint.
EVERYWHERE = {"400", "404", "405", "429"}
MODES = (GenerationMode.POSITIVE, GenerationMode.NEGATIVE)


@schemathesis.serializer("application/gzip")
def _as_it_is(context: object, value: object) -> object:
    return value


def make_strict(spec: dict[str, Any], known: dict[str, str]) -> None:
    """Put names that exist into the document, and take the `default` that allows any status."""
    for path in spec["paths"].values():
        for operation in path.values():
            problem = operation["responses"].pop("default")
            for status in EVERYWHERE - set(operation["responses"]):
                operation["responses"][status] = copy.deepcopy(problem)
            for parameter in operation["parameters"]:
                if parameter["in"] == "path" and parameter["name"] in known:
                    parameter["schema"] = {
                        "anyOf": [{"const": known[parameter["name"]]}, {"type": "string"}]
                    }


def ask(world: World, spec: dict[str, Any], *, examples: int) -> list[str]:
    """Ask every operation for good and bad examples; return what was wrong."""
    schema = schemathesis.openapi.from_dict(spec)
    session = requests.Session()
    session.headers["Authorization"] = f"Bearer {TOKENS['operator']}"
    wrong: list[str] = []
    operations = [result.ok() for result in schema.get_all_operations()]
    # What deletes comes last.
    for operation in sorted(operations, key=lambda one: one.method.upper() == "DELETE"):
        takes_more = bool(operation.body or operation.query)
        for mode in MODES if takes_more else MODES[:1]:

            @seed(7)
            @settings(
                max_examples=examples,
                deadline=None,
                database=None,
                phases=[Phase.generate],
                suppress_health_check=list(HealthCheck),
            )
            @given(case=operation.as_strategy(mode))
            def example(case: Case) -> None:
                response = case.call(
                    base_url=world.url, session=session, allow_redirects=False, timeout=30
                )
                case.validate_response(response, checks=CHECKS)

            try:
                example()
            except Unsatisfiable:
                assert mode is not MODES[0]  # of bytes there are no wrong ones
            except Exception as error:
                wrong.append(f"{operation.label}: {error}")
    return wrong


@pytest.mark.parametrize(
    "examples", [3, pytest.param(30, marks=[pytest.mark.long, pytest.mark.timeout(1800)])]
)
async def test_nothing_undocumented_happens(world: World, examples: int) -> None:
    service = await make_service()
    await make_release(service, 1)
    deployment = await make_deployment(service, 2)
    await Domain.create(service_id=service.id, hostname="www.example.com", verified_at=utcnow())
    spec = (await world.get("/openapi.json", who=None)).json
    make_strict(spec, {**KNOWN, "deployment": deployment.id})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        wrong = await asyncio.to_thread(ask, world, spec, examples=examples)
    assert wrong == [], "\n\n".join(wrong)
