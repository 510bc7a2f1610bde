"""Every rule of the page on security names tests that exist."""

from __future__ import annotations

import ast
import re

import pytest

from .pages import ROOT, MarkdownPage, rows

PAGE = MarkdownPage("docs/security.md")
NAMED = re.findall(
    r"`(tests/[\w/]+\.py)::(\w+)`", PAGE.section("Rules, and what shows that they hold")
)


def test_every_rule_names_a_test() -> None:
    table = rows(PAGE.section("Rules, and what shows that they hold"))[1:]
    assert len(table) > 15
    assert [rule for rule, shown in table if "::" not in shown] == []


@pytest.mark.parametrize(("file", "name"), NAMED)
def test_a_named_test_exists(file: str, name: str) -> None:
    tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    assert name in {node.name for node in ast.walk(tree) if isinstance(node, functions)}
