"""The house stays small enough to be read: sizes, and no two modules that need each other."""

from __future__ import annotations

import ast
import re
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from .code import import_name, imports, parse, python_files
from .drawing import FOLDERS, PAGE, drawn, folder_graph
from .pages import ROOT, MarkdownPage, repository_files, rows

MAX_MODULE_LINES = 400
MAX_KERNEL_CODE_LINES = 6000


def _files(*folders: str) -> list[Path]:
    files = [file for folder in folders for file in python_files(folder)]
    return [file for file in files if "migrations" not in file.parts]


def _lazy_lines(file: Path) -> set[int]:
    """Return the lines that are not run when the module is loaded."""
    lazy: set[int] = set()
    for node in ast.walk(parse(file)):
        is_typing = isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        if is_typing or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lazy.update(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    return lazy


def _code_lines(file: Path) -> int:
    """Count the lines of a file without blank ones, comments and docstrings."""
    text = file.read_text(encoding="utf-8")
    documented: set[int] = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            documented.update(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    return sum(
        bool(line.strip()) and not line.lstrip().startswith("#") and number not in documented
        for number, line in enumerate(text.splitlines(), 1)
    )


@pytest.mark.parametrize("file", _files(*FOLDERS), ids=lambda file: str(file.relative_to(ROOT)))
def test_a_module_has_one_subject(file: Path) -> None:
    assert len(file.read_text(encoding="utf-8").splitlines()) <= MAX_MODULE_LINES


def test_no_modules_import_each_other() -> None:
    graph: dict[str, set[str]] = {}
    for file in _files(*FOLDERS):
        lazy = _lazy_lines(file)
        needed = {module for module, line in imports(file) if line not in lazy}
        graph[import_name(file)] = needed - {import_name(file)}
    assert_without_circle(graph)


def test_no_folders_import_each_other() -> None:
    assert_without_circle(folder_graph())


def assert_without_circle(graph: dict[str, set[str]]) -> None:
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


def test_the_graph_of_the_folders_is_current() -> None:
    told = f"the imports have changed: run `python -m tests.docs.drawing`, which writes {PAGE}"
    assert drawn() in MarkdownPage(PAGE).blocks("mermaid"), told


def test_the_kernel_is_small() -> None:
    assert sum(map(_code_lines, _files("kernel"))) <= MAX_KERNEL_CODE_LINES


def test_the_readme_says_what_each_folder_is() -> None:
    links = [row[0] for row in rows(MarkdownPage("README.md").section("What is where"))]
    listed = {folder.split("/")[0] for cell in links for folder in re.findall(r"\(([^)]*)\)", cell)}
    there = {Path(name).parts[0] for name in repository_files() if "/" in name}
    assert listed == {name for name in there if not name.startswith(".")}


_LATER = re.compile(r"data_filter|FilterError|extract(?:all)?\([^)]*filter=")


@pytest.mark.parametrize("folder", FOLDERS)
def test_nothing_needs_the_filters_of_tarfile(folder: str) -> None:
    """The Python 3.11.2 of Debian 12 has none of them."""
    assert [file for file in _files(folder) if _LATER.search(file.read_text("utf-8"))] == []
