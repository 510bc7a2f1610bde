"""docs/conformance.md lists every promise, as the suites do."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import helvetia.testing
from helvetia.testing.base import Conformance
from helvetia.testing.families import SUITES

TEXT = (Path(__file__).parents[2] / "docs" / "conformance.md").read_text("utf-8")


def promises(suite: type) -> list[str]:
    """Return the first line of each test that a suite has, without those of all suites."""
    own = [kind for kind in suite.__mro__ if kind is suite or kind not in Conformance.__mro__]
    members = (member for kind in own for member in vars(kind).items())
    tests = (member for name, member in members if name.startswith("test_"))
    return [(test.__doc__ or "").splitlines()[0] for test in tests]


@pytest.mark.parametrize("suite", [Conformance, *SUITES])
def test_the_page_lists_the_promises_of(suite: type[Conformance]) -> None:
    title = f"A {suite.helvetia_family}".replace("A auth", "An auth") or "Every"
    title = title if suite.helvetia_family else "Every provider"
    listed = re.search(rf"^{title}[^\n]*:\n\n((?:- .*\n(?:  .*\n)*)+)", TEXT, re.MULTILINE)
    assert listed, f"no list after `{title} …:`"
    items = [" ".join(item.split()) for item in re.split(r"^- ", listed[1], flags=re.M)[1:]]
    assert items == promises(suite)


def test_the_page_names_what_is_exported() -> None:
    missing = [name for name in helvetia.testing.__all__ if f"`{name}" not in TEXT]
    assert missing == ["Conformance"]


def test_what_is_exported_exists() -> None:
    for name in helvetia.testing.__all__:
        assert getattr(helvetia.testing, name)
