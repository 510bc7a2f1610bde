"""The house stays small enough to be read: sizes, and no two modules that need each other."""

from __future__ import annotations

import ast
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from .code import import_name, imports, parse, python_files
from .pages import ROOT

FOLDERS = ("kernel", "logs", "masking", "plugins", "web", "cli", "testing")
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
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


def test_the_kernel_is_small() -> None:
    assert sum(map(_code_lines, _files("kernel"))) <= MAX_KERNEL_CODE_LINES
