from __future__ import annotations

from typing import Any

import pytest

from helvetia import HelvetiaError, InvalidInput
from helvetia.cli.failing import as_helvetia_error
from helvetia.cli.problems import exit_code, to_error
from helvetia.kernel import errors


@pytest.mark.parametrize(
    ("status", "reason_code", "code"),
    [
        ("LIVE", "", 0),
        ("FAILED", "source-failed", 3),
        ("FAILED", "build-failed", 3),
        ("FAILED", "vetoed", 3),
        ("FAILED", "timeout", 3),
        ("FAILED", "no-provider", 3),
        ("FAILED", "never-healthy", 4),
        ("FAILED", "release-failed", 4),
        ("FAILED", "activation-failed", 5),
        ("FAILED", "cancelled", 6),
        ("CANCELLED", "", 6),
        ("SUPERSEDED", "superseded", 7),
        ("ROLLED_BACK", "", 7),
        ("FAILED", "something-new", 1),
        ("FAILED", "", 1),
    ],
)
def test_exit_code_of_a_deployment(status: str, reason_code: str, code: int) -> None:
    assert exit_code(status, reason_code) == code


@pytest.mark.parametrize(
    ("status", "problem", "kind", "message", "code"),
    [
        (404, {"code": "not-found", "detail": "no service x"}, errors.NotFound, "no service x", 2),
        (409, {"code": "conflict", "detail": "taken"}, errors.Conflict, "taken", 1),
        (403, {"code": "forbidden", "detail": "no"}, errors.Forbidden, "no", 1),
        (413, {"code": "too-large", "detail": "big"}, errors.TooLarge, "big", 1),
        (409, {"code": "no-provider", "detail": "none"}, errors.NoProvider, "none", 3),
        (503, {"code": "not-ready", "detail": "starting"}, errors.Unreachable, "starting", 8),
        (500, {"code": "plugin-error", "detail": "plugin x: y"}, HelvetiaError, "plugin x: y", 1),
        (418, {"code": "of-a-plugin", "title": "Teapot"}, HelvetiaError, "Teapot", 1),
        (422, {"code": "invalid-input", "detail": "ref: bad"}, InvalidInput, "ref: bad", 2),
        (500, {}, HelvetiaError, "HTTP status 500", 1),
    ],
)
def test_problem_becomes_the_error_of_its_code(
    status: int, problem: dict[str, Any], kind: type, message: str, code: int
) -> None:
    error = to_error(status, problem)
    assert isinstance(error, kind)
    assert (error.message, error.exit_code) == (message, code)
    if "code" in problem and status != 503:
        assert error.code == problem["code"]


def test_every_documented_error_comes_back_as_itself() -> None:
    kinds = [
        kind
        for kind in vars(errors).values()
        if isinstance(kind, type) and issubclass(kind, HelvetiaError) and kind is not HelvetiaError
    ]
    assert len(kinds) > 15
    for kind in kinds:
        error = to_error(500, {"code": kind.code, "detail": "a: b", "hint": "do c"})
        assert (error.code, error.message, error.hint) == (kind.code, "a: b", "do c")
        assert error.exit_code == kind.exit_code


def test_all_wrong_fields_are_named() -> None:
    fields = [{"field": "name", "message": "too long"}, {"field": "type", "message": "unknown"}]
    error = to_error(422, {"code": "invalid-input", "detail": "-", "errors": fields})
    assert error.message == "name: too long; type: unknown"


def test_a_bug_is_told_in_one_line() -> None:
    error = as_helvetia_error(ZeroDivisionError("division by zero"))
    assert error.message == "unexpected ZeroDivisionError: division by zero"
    assert "HELVETIA_DEBUG" in error.hint
