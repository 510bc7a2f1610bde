"""The kit itself: it finds what is broken, says so in words, and is quiet elsewhere."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from helvetia.testing.families import suite_of

from . import mutants

pytestmark = pytest.mark.timeout(300)
ROOT = Path(__file__).parents[2]
STATIC = "helvetia.plugins.builders.static:helvetia_builders"


def run_pytest(folder: Path, *arguments: str) -> str:
    """Run pytest as an author does: in a folder of his own, without our configuration."""
    argv = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *arguments]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        argv, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    return done.stdout.decode()


def outcomes(output: str) -> dict[str, str]:
    """Return how each test ended, from the short summary that `-rA` writes."""
    found = re.findall(
        r"^(PASSED|FAILED|ERROR|SKIPPED) \S*?(\w+::\w+)(?: |$)", output, re.MULTILINE
    )
    return {test: outcome for outcome, test in found}


@pytest.fixture(scope="module")
def caught(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """How the promise that should find it ended for each mutant; all of them in one run."""
    folder = tmp_path_factory.mktemp("mutants")
    lines = ["from helvetia.testing import *"]
    for mutant in mutants.CAUGHT_BY:
        factory = f"{mutants.__name__}:{mutant}"
        suite = suite_of(factory).__mro__[1].__name__
        lines.append(f"class Test{mutant}({suite}): factory = {factory!r}")
    (folder / "test_mutants.py").write_text("\n".join(lines))
    tests = [f"test_mutants.py::Test{name}::{test}" for name, test in mutants.CAUGHT_BY.items()]
    return outcomes(run_pytest(folder, "-rA", "-q", *tests))


@pytest.mark.long
@pytest.mark.parametrize("mutant", mutants.CAUGHT_BY)
def test_a_defect_is_caught_by_its_promise(mutant: str, caught: dict[str, str]) -> None:
    assert caught[f"Test{mutant}::{mutants.CAUGHT_BY[mutant]}"] == "FAILED"


def test_the_report_names_every_promise_and_why_one_is_broken(tmp_path: Path) -> None:
    providers = STATIC, f"{mutants.__name__}:BadName"
    options = [word for provider in providers for word in ("--helvetia-provider", provider)]
    lines = run_pytest(tmp_path, *options, "-k", "test_name or test_attributes").splitlines()
    good, bad = (
        next(at for at, line in enumerate(lines) if f"conformance: builder `{name}`" in line)
        for name in ("static", "Static Builder")
    )
    assert lines[good + 1 : good + 4] == [
        "✓ Has a legal name and says what it can do.",
        "✓ Names its service type, the kinds it makes and the settings it reads.",
        "2 kept, 0 broken, 0 not checked",
    ]
    assert lines[bad + 1] == "✗ Has a legal name and says what it can do."
    assert "lower-case letters, digits, hyphens" in lines[bad + 2]
    assert lines[bad + 4] == "1 kept, 1 broken, 0 not checked"


UNWRITTEN = "helvetia.cli.templates.runtime:ExampleRuntime"


def test_what_cannot_be_checked_is_skipped_with_the_reason_of_the_provider(tmp_path: Path) -> None:
    output = run_pytest(tmp_path, "--helvetia-provider", UNWRITTEN)
    assert "    not usable here: the runtime example is not written yet" in output.splitlines()
    assert " failed" not in output
    assert re.search(r"^3 kept, 0 broken, \d\d not checked$", output, re.MULTILINE)


def test_no_skip_makes_that_a_failure(tmp_path: Path) -> None:
    output = run_pytest(tmp_path, "--helvetia-provider", UNWRITTEN, "--helvetia-no-skip")
    assert " skipped" not in output
    assert re.search(r"^3 kept, \d\d broken, 0 not checked$", output, re.MULTILINE)


@pytest.mark.parametrize(
    ("factory", "said"),
    [
        ("no_such_module:Thing", "No module named 'no_such_module'"),
        ("helvetia.plugins.registry:Nothing", "has no attribute 'Nothing'"),
        ("uuid:uuid4", "made UUID, which is no provider"),
        ("helvetia.kernel", "write module:name"),
    ],
)
def test_a_wrong_factory_is_explained(factory: str, said: str) -> None:
    with pytest.raises(ValueError, match=re.escape(said)):
        suite_of(factory)


def test_a_wrong_factory_is_told_in_one_line(tmp_path: Path) -> None:
    output = run_pytest(tmp_path, "--helvetia-provider", "no_such_module:Thing")
    line = "ERROR: --helvetia-provider no_such_module:Thing: No module named 'no_such_module'"
    assert output.strip() == line


def test_foreign_projects_do_not_notice_the_plugin(tmp_path: Path) -> None:
    (tmp_path / "test_theirs.py").write_text(
        "import sys, pytest\n"
        "def test_modules():\n"
        "    kit = {name for name in sys.modules if name.startswith('helvetia.testing')}\n"
        "    assert kit <= {'helvetia.testing', 'helvetia.testing.plugin'}\n"
        "    assert not {'pydantic', 'aiohttp', 'tortoise', 'psutil'} & set(sys.modules)\n"
        "def test_skip(): pytest.skip('mine')\n"
    )
    output = run_pytest(
        tmp_path, "--helvetia-no-skip", "-p", "no:asyncio", "-p", "no:aiohttp", "-p", "no:anyio",
        "-p", "no:hypothesispytest",
    )  # fmt: skip
    assert "1 passed, 1 skipped" in output
    assert "helvetia conformance" not in output
