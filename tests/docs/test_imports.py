"""Dependencies point one way, and docs/plugins.md lists the modules that stock plugins use."""

from __future__ import annotations

import ast
import functools
import os
import re

import pytest

from helvetia.kernel.plugins import GROUP
from tests.known import entry_points

from .code import import_name, imports, parse, python_files
from .pages import ROOT, MarkdownPage, items, repository_files

PAGE = MarkdownPage("docs/plugins.md")
_FRONTS = (
    "plugins/api",
    "plugins/audit",
    "plugins/webhooks",
    "plugins/github",
    "plugins/previews",
    "plugins/sources/git/credentials",
    "plugins/metrics",
    "plugins/notifications",
    "plugins/shell",
)
LINKS = ("kernel", "logs", "masking", "programs", "sessions", "plugins", "web", "cli", "testing")
_BELOW = (
    "helvetia.kernel",
    "helvetia.logs",
    "helvetia.masking",
    "helvetia.programs",
    "helvetia.sessions",
    "helvetia.version",
)
_SHARED = items(PAGE.section("Modules of plugins that other plugins use"))


@functools.cache
def _plugin_of(module: str) -> str:
    """Return the module of the stock plugin that a module belongs to, or what plugins share."""
    known = {point.value for point in entry_points(group=GROUP) if point.dist}
    owners = [one for one in (*known, *_SHARED) if f"{module}.".startswith(f"{one}.")]
    return max(owners, key=len, default=module)


def _imported_by(folder: str) -> dict[str, str]:
    """Return the modules of ours that a folder imports, each with one place where it does."""
    return {
        module: f"{file.relative_to(ROOT)}:{line}"
        for file in python_files(folder)
        for module, line in imports(file)
        if module.split(".")[0] == "helvetia"
    }


def test_the_kernel_imports_nothing_above_it() -> None:
    wrong = [
        f"{place} imports {module}"
        for module, place in _imported_by("kernel").items()
        if module.startswith("helvetia.") and not module.startswith(_BELOW)
    ]
    assert not wrong


def test_the_kernel_names_no_plugin_module() -> None:
    named = [
        f"{file.relative_to(ROOT)}:{node.lineno}"
        for file in python_files("kernel")
        for node in ast.walk(parse(file))
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and re.search(r"\bhelvetia\.(plugins|web|cli|testing)\b", node.value)
    ]
    assert not named


def test_the_contracts_import_nothing_of_the_kernel_but_errors() -> None:
    allowed = ("helvetia.kernel.contracts", "helvetia.kernel.errors")
    wrong = [
        f"{place} imports {module}"
        for module, place in _imported_by("kernel/contracts").items()
        if not module.startswith(allowed)
    ]
    assert not wrong


def test_the_libraries_beside_the_kernel_know_nothing_of_the_rest() -> None:
    assert not _imported_by("programs")
    assert all(module.startswith("helvetia.sessions") for module in _imported_by("sessions"))
    assert set(_imported_by("masking")) <= {"helvetia.masking.redact", "helvetia.masking.forms"}
    below = ("helvetia.logs", "helvetia.masking")
    wrong = {
        place: module
        for module, place in _imported_by("logs").items()
        if not module.startswith(below)
    }
    assert not wrong


@pytest.mark.parametrize(
    ("front", "heading"),
    [
        (False, "Kernel modules that stock plugins use"),
        (True, "Kernel modules that the API, the dashboard and the inbox use"),
    ],
)
def test_plugins_import_the_listed_kernel_modules_and_no_other(front: bool, heading: str) -> None:
    listed = items(PAGE.section(heading))
    used: set[str] = set()
    fronts = {k: v for one in ("web", *_FRONTS) for k, v in _imported_by(one).items()}
    others = {
        module: f"{file.relative_to(ROOT)}:{line}"
        for file in python_files("plugins")
        if not str(file.relative_to(ROOT)).startswith(_FRONTS)
        for module, line in imports(file)
    }
    for module, place in (fronts if front else others).items():
        if module.startswith("helvetia.kernel"):
            covering = [one for one in listed if f"{module}.".startswith(f"{one}.")]
            assert covering, f"{place} imports {module}; `{heading}` does not list it"
            used.update(covering)
    assert used == set(listed), "the list has modules that nobody uses"


@pytest.mark.parametrize("folder", ["plugins", "web"])
def test_a_plugin_imports_no_other_plugin(folder: str) -> None:
    wrong = []
    for file in python_files(folder):
        own = _plugin_of(import_name(file))
        for module, line in imports(file):
            if not module.startswith(("helvetia.plugins", "helvetia.web")):
                continue
            if _plugin_of(module) not in (own, *_SHARED):
                wrong.append(f"{file.relative_to(ROOT)}:{line} imports {module}")
    assert not wrong


def test_an_example_plugin_imports_public_names_only() -> None:
    assert set(_imported_by("examples/helvetia-markdown")) == {"helvetia"}


def test_tests_and_benches_are_not_imported_by_the_product() -> None:
    for folder in LINKS:
        for file in python_files(folder):
            roots = {module.split(".")[0] for module, _ in imports(file)}
            assert not roots & {"tests", "bench"}, file


@pytest.mark.parametrize("name", LINKS)
def test_the_import_name_is_a_relative_link(name: str) -> None:
    link = ROOT / "src" / "helvetia" / name
    assert link.is_symlink()
    assert os.readlink(link) == f"../../{name}"
    assert f"src/helvetia/{name}" in repository_files()


def test_the_package_folder_holds_nothing_else() -> None:
    found = {path for path in repository_files() if path.startswith("src/")}
    names = {"__init__.py", "version.py", "py.typed", *LINKS}
    assert found == {f"src/helvetia/{name}" for name in names}
