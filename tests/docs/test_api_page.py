"""docs/api.md names every endpoint with who may call it, and every kind of error."""

from __future__ import annotations

import re

from helvetia.cli.problems import exit_code
from helvetia.kernel.errors import (
    DeploymentError,
    HelvetiaError,
    NoProvider,
    NoStorage,
    PluginError,
    SourceError,
)
from helvetia.kernel.http.shapes import Problem
from tests.stock import endpoints

from .pages import MarkdownPage, rows

PAGE = MarkdownPage("docs/api.md")


def test_every_endpoint_is_listed() -> None:
    expected = [[f"`{e.method}`", f"`{e.path}`", str(e.policy), e.summary] for e in endpoints()]
    table = rows(PAGE.section("Endpoints"))[1:]
    wanted = "\n".join("| " + " | ".join(row) + " |" for row in expected)
    assert table == expected, f"the table should be:\n{wanted}"


def _all_below(kind: type[HelvetiaError]) -> set[type[HelvetiaError]]:
    return {kind}.union(*(_all_below(below) for below in kind.__subclasses__()))


def _told_by_the_api(kind: type[HelvetiaError]) -> bool:
    """Tell whether people meet an error in an answer: the others end a start or a deployment."""
    is_for_requests = 400 <= kind.status < 500 and not issubclass(kind, DeploymentError)
    return is_for_requests or ".http." in kind.__module__ or ".api." in kind.__module__


def test_every_code_of_an_answer_is_listed() -> None:
    told = {
        (str(kind.status), f"`{kind.code}`")
        for kind in _all_below(HelvetiaError)
        if _told_by_the_api(kind)
    }
    told |= {(str(kind.status), f"`{kind.code}`") for kind in (SourceError, PluginError, NoStorage)}
    told |= {("500", "`internal`"), ("405", "`method-not-allowed`")}
    table = [row for row in rows(PAGE.section("Errors")) if row[0].isdecimal()]
    assert {(row[0], row[1]) for row in table} == told


def test_every_reason_code_is_listed_with_its_exit_code() -> None:
    codes = {kind.code for kind in _all_below(DeploymentError)}
    codes |= {NoProvider.code, PluginError.code, "internal"}
    expected = {(f"`{code}`", str(exit_code("FAILED", code))) for code in codes}
    expected |= {
        (f"`{status.lower()}`", str(exit_code(status, status.lower())))
        for status in ("CANCELLED", "SUPERSEDED")
    }
    table = rows(PAGE.section("Why a deployment ended"))[1:]
    assert {(row[0], row[1]) for row in table} == expected


def test_the_body_of_an_error_is_as_shown() -> None:
    shown = Problem.model_validate_json(PAGE.blocks("json")[0], strict=True)
    assert shown.model_fields_set == set(Problem.model_fields)


def test_the_headers_of_the_page_are_those_of_the_code() -> None:
    headers = {name for e in endpoints() for name in e.headers}
    assert headers <= set(re.findall(r"`([A-Z][A-Za-z-]+)(?:: [^`]*)?`", PAGE.text))
