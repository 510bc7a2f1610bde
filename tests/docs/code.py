"""What the documentation tests read from the code: signatures, imports, event kinds."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

from helvetia.kernel.models import DeploymentStatus

from .pages import ROOT


def signature(function: Callable[..., object]) -> str:
    """Write a method down as the pages do: `async build(context: BuildContext) -> Artifact`."""
    given = inspect.signature(function)
    parameters = [p for name, p in given.parameters.items() if name != "self"]
    text = str(given.replace(parameters=parameters)).replace("'", "")
    is_async = inspect.iscoroutinefunction(function)
    return f"{'async ' if is_async else ''}{function.__name__}{text}"


def public_methods(kind: type) -> list[str]:
    """Return the signatures of the public methods that a class itself declares."""
    return [
        signature(member)
        for name, member in vars(kind).items()
        if not name.startswith("_") and inspect.isfunction(member)
    ]


def attributes(kind: type) -> list[str]:
    """Return the names of the attributes that a class itself declares."""
    return [name for name in vars(kind).get("__annotations__", {}) if not name.startswith("_")]


@cache
def parse(file: Path) -> ast.Module:
    """Return the syntax tree of a file."""
    return ast.parse(file.read_text(encoding="utf-8"), str(file))


def python_files(folder: str) -> list[Path]:
    """Return the Python files below a folder of the repository."""
    return sorted((ROOT / folder).rglob("*.py"))


def import_name(file: Path) -> str:
    """Return the name by which a file of the repository is imported."""
    parts = file.relative_to(ROOT).with_suffix("").parts
    return ".".join(("helvetia", *parts)).removesuffix(".__init__")


@cache
def imports(file: Path) -> tuple[tuple[str, int], ...]:
    """Return the modules that a file imports, wherever it does, with the line.

    What comes from a package may be a module of it: `from a import b` gives `a.b` if that is one.
    """
    return tuple(_imports(file))


def _imports(file: Path) -> Iterator[tuple[str, int]]:
    package = ["helvetia", *file.relative_to(ROOT).parent.parts]
    for node in ast.walk(parse(file)):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*above, *filter(None, [node.module])])
            for alias in node.names:
                inner = f"{module}.{alias.name}"
                yield inner if _is_module(inner) else module, node.lineno


def _is_module(name: str) -> bool:
    path = ROOT.joinpath(*name.split(".")[1:])
    is_ours = name.startswith("helvetia.")
    return is_ours and (path.with_suffix(".py").is_file() or (path / "__init__.py").is_file())


def event_kinds() -> set[str]:
    """Return every kind that is written into the journal.

    It knows the few ways in which that is done; another one is an error here, so that
    no kind is overlooked.
    """
    kinds: set[str] = set()
    folders = ("kernel", "plugins/api", "plugins/shell")
    for file in (file for folder in folders for file in python_files(folder)):
        for node in ast.walk(parse(file)):
            if not isinstance(node, ast.Call):
                continue
            called = ast.unparse(node.func)
            if called in ("events.record", "entry", "_record", "self._record"):
                kinds |= _kinds(node.args[0], f"{file.relative_to(ROOT)}:{node.lineno}")
            elif called == "_want":
                kinds |= _kinds(node.args[2], f"{file.relative_to(ROOT)}:{node.lineno}")
    return kinds


def _kinds(argument: ast.expr, where: str) -> set[str]:
    match argument:
        case ast.Constant(value=str(kind)):
            return {kind}
        case ast.Name(id="kind" | "event"):
            # A wrapper passes on what it was called with, and its calls are looked at as well.
            return set()
        case ast.JoinedStr() if ast.unparse(argument) == "f'deployment.{status.value.lower()}'":
            return {f"deployment.{status.value.lower()}" for status in _finished_with()}
    raise AssertionError(f"{where}: the kind {ast.unparse(argument)} cannot be read from the code")


def _finished_with() -> set[DeploymentStatus]:
    """Return the statuses with which a worker ends a deployment."""
    found = {
        DeploymentStatus[argument.attr]
        for node in ast.walk(parse(ROOT / "kernel/pipeline/running.py"))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "self._finish"
        for argument in node.args
        if isinstance(argument, ast.Attribute) and ast.unparse(argument.value) == "DeploymentStatus"
    }
    assert found
    return found
