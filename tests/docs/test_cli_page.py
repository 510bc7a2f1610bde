"""docs/cli.md has every exit code and every command."""

from __future__ import annotations

import re

import pytest

from helvetia.cli.root import OWN
from helvetia.kernel.errors import ExitCode

from .pages import ROOT, MarkdownPage, rows

pytestmark = pytest.mark.skipif(
    not (ROOT / "docs/cli.md").exists(), reason="docs/cli.md is not there"
)


def test_every_exit_code_is_documented() -> None:
    table = rows(MarkdownPage("docs/cli.md").section("Exit codes"))[1:]
    described = {int(row[0]) for row in table}
    codes = {value for name, value in vars(ExitCode).items() if name.isupper()}
    assert codes <= described
    assert described - codes <= {130}, "a shell's own code is the only other one"


def test_every_command_of_the_kernel_is_documented() -> None:
    text = MarkdownPage("docs/cli.md").text
    described = set(re.findall(r"`(?:helvetia )?([a-z]+)[ `]", text))
    assert set(OWN) - described == set()
