"""Choose the Python interpreter of an application, and say what its environment hangs on."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import re
import shlex
import sys
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.version import Version

from helvetia import BuildContext, BuildFailed
from helvetia.plugins.builders.common.files import inside, is_file, read_text
from helvetia.plugins.builders.common.node_install import Collected

_NAME = re.compile(r"python3(?:\.\d+)?")
_ASK = (
    "import json, os, sys, venv; "
    "print(json.dumps([os.path.realpath(getattr(sys, '_base_executable', sys.executable)), "
    "'.'.join(map(str, sys.version_info[:3])), sys.version_info[3]]))"
)
_MARKS = ("requirements.txt", "pyproject.toml", "runtime.txt", ".python-version", "Pipfile")
_MAX_FILES = 50


@dataclass(frozen=True, slots=True)
class Interpreter:
    """A Python interpreter that can make virtual environments."""

    path: str
    version: str


def is_python(checkout: Path, processes: Mapping[str, Sequence[str]]) -> bool:
    """Tell whether an application needs a Python environment: by its files or its processes."""
    if any(is_file(checkout, name) for name in _MARKS):
        return True
    words = {word for argv in processes.values() for word in argv if "=" not in word}
    return bool(words & {"python", "python3"})


def pyproject(checkout: Path) -> dict[str, object]:
    """Return what pyproject.toml says; empty if there is none.

    Raises:
        BuildFailed: the file cannot be read.
    """
    text = read_text(checkout, "pyproject.toml")
    if text is None:
        return {}
    try:
        return tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise BuildFailed(f"pyproject.toml cannot be read: {error}", hint="mend it") from None


def project_table(checkout: Path) -> dict[str, object]:
    """Return the `[project]` table of pyproject.toml; empty if there is none."""
    table = pyproject(checkout).get("project")
    return table if isinstance(table, dict) else {}


async def choose_interpreter(context: BuildContext) -> Interpreter:
    """Return the interpreter that the project asks for, else the newest on this machine.

    Raises:
        BuildFailed: there is none that fits.
    """
    wanted, said_by = _wanted(context.checkout)
    found = await _interpreters(context)
    fitting = [one for one in found if wanted.contains(one.version)]
    if fitting:
        return max(fitting, key=lambda one: Version(one.version))
    there = ", ".join(sorted({one.version for one in found})) or "none"
    raise BuildFailed(
        f"{said_by} asks for Python {wanted}, and this machine has {there}",
        hint=f"install that Python where the platform runs, or change {said_by}",
    )


def _wanted(checkout: Path) -> tuple[SpecifierSet, str]:
    for name in (".python-version", "runtime.txt"):
        text = read_text(checkout, name, 1024)
        for line in (text or "").splitlines():
            if match := re.fullmatch(r"(?:python-?)?(3)(?:\.(\d+)(?:\.\d+)?)?", line.strip()):
                # The third number is left out: it brings security fixes, not other behaviour.
                minor = f"==3.{match[2]}.*" if match[2] else ">=3"
                return SpecifierSet(minor), name
    requires = project_table(checkout).get("requires-python")
    if isinstance(requires, str):
        try:
            return SpecifierSet(requires), "pyproject.toml"
        except InvalidSpecifier:
            raise BuildFailed(
                f"pyproject.toml: requires-python: `{requires}` is no version range",
                hint='write for example `requires-python = ">=3.11"`',
            ) from None
    return SpecifierSet(""), "the platform"


async def _interpreters(context: BuildContext) -> list[Interpreter]:
    """Ask every `python3*` on PATH what it is; shims that start nothing fall out here."""
    paths = await asyncio.to_thread(_candidates)
    answers = await asyncio.gather(*(_ask(context, path) for path in paths))
    return list({one.path: one for one in answers if one is not None}.values())


async def _ask(context: BuildContext, path: str) -> Interpreter | None:
    said = Collected()
    try:
        code = await context.run([path, "-I", "-c", _ASK], cwd=context.cache, log=said)
        real, version, level = json.loads(said.output) if code == 0 else ("", "", "")
    except (OSError, ValueError):
        return None
    return Interpreter(real, version) if level == "final" else None


def _candidates() -> list[str]:
    # The platform's own virtual environment is not for tenants; its interpreter is.
    own = os.path.realpath(os.path.join(sys.prefix, "bin"))
    paths = [str(getattr(sys, "_base_executable", sys.executable))]
    for folder in os.environ.get("PATH", "").split(os.pathsep):
        if folder and os.path.isdir(folder) and os.path.realpath(folder) != own:
            names = sorted(name for name in os.listdir(folder) if _NAME.fullmatch(name))
            paths += [os.path.join(folder, name) for name in names]
    return list(dict.fromkeys(os.path.abspath(path) for path in paths))


def requirement_files(checkout: Path) -> list[Path]:
    """Return the files that say what to install, the ones they name included.

    Raises:
        BuildFailed: one of them is missing or outside the repository.
    """
    if not is_file(checkout, "requirements.txt"):
        return [checkout / "pyproject.toml"] if is_file(checkout, "pyproject.toml") else []
    files: list[Path] = []
    waiting = [checkout / "requirements.txt"]
    while waiting:
        path = waiting.pop()
        if path in files:
            continue
        if not path.is_file() or not inside(checkout, path):
            raise BuildFailed(
                f"requirements: there is no file `{path.name}` in the repository",
                hint="`-r` and `-c` name files relative to the file they stand in",
            )
        files.append(path)
        if len(files) > _MAX_FILES:
            raise BuildFailed("requirements name more files than is sane", hint="merge them")
        waiting += [path.parent / name for name in _included(path)]
    return files


def _included(path: Path) -> list[str]:
    names = []
    for line in path.read_text(errors="replace").splitlines():
        found = re.match(r"\s*(?:-r|-c|--requirement|--constraint)[ =]*([^\s#]+)", line)
        if found and "://" not in found[1]:
            names.append(shlex.split(found[1])[0])
    return names


def environment_key(checkout: Path, interpreter: Interpreter) -> str:
    """Return the hash of everything that a virtual environment is made from."""
    digest = hashlib.sha256(f"{interpreter.version}\0{interpreter.path}\0".encode())
    for path in sorted(requirement_files(checkout)):
        digest.update(str(path.relative_to(checkout)).encode() + b"\0")
        digest.update(path.read_bytes() + b"\0")
    return digest.hexdigest()[:32]
