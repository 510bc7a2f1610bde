"""Make the virtual environment of a release: from the cache if nothing changed, and movable."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import re
import shutil
import sys
import uuid
from pathlib import Path

from helvetia import BuildContext, BuildFailed
from helvetia.plugins.builders.common.cache import FolderCache
from helvetia.plugins.builders.common.command import run_step
from helvetia.plugins.builders.common.files import is_file, remove

from .interpreter import (
    Interpreter,
    choose_interpreter,
    environment_key,
    project_table,
    pyproject,
)

FOLDER = ".helvetia/env"
_HINT = "the lines above say why; the same with `pip install -r requirements.txt` at home"
# sh reads this as: start the `python` beside this file. Python reads it as a string.
_SHEBANG = (
    b'#!/bin/sh\n\'\'\'exec\' "$(dirname -- "$(realpath -- "$0")")"/\'python\' "$0" "$@"\n'
    b"' '''\n"
)
_LONG_SHEBANG = re.compile(rb"#!/bin/sh\n'''exec' [^\n]*\n' '''\n")
_SHORT_SHEBANG = re.compile(rb"#![^\n]*\n")


async def install_python(context: BuildContext) -> Interpreter:
    """Put a virtual environment with the application's packages into the checkout.

    Raises:
        BuildFailed: no interpreter fits, or the packages cannot be installed.
    """
    if importlib.util.find_spec("pip") is None:
        raise BuildFailed(
            "the platform's own Python has no pip, so it cannot install packages",
            hint="whoever runs the platform: add pip to its environment "
            "(`python -m ensurepip`, or install the package pip)",
        )
    interpreter = await choose_interpreter(context)
    key = await asyncio.to_thread(environment_key, context.checkout, interpreter)
    target = context.checkout / FOLDER
    for left in context.cache.glob("environment-*"):
        await asyncio.to_thread(remove, left)
    cache = FolderCache(context.cache / "environments")
    kept = await cache.take(key, target, link=True)
    if kept is not None:
        context.log.line(
            f"dependencies unchanged (requirements {key[:7]}, Python {interpreter.version}), "
            f"{kept.get('packages', 'all')} packages from the cache"
        )
    else:
        context.log.line(f"Python {interpreter.version}, new virtual environment")
        making = context.cache / f"environment-{uuid.uuid4().hex[:12]}"
        try:
            packages = await _make(context, interpreter, making)
            await cache.put(key, making, {"packages": str(packages)}, link=True)
            if await cache.take(key, target, link=True) is None:
                raise BuildFailed("the finished environment could not be read back from the cache")
        finally:
            await asyncio.to_thread(remove, making)
        context.log.line(f"{packages} packages installed")
    await _install_project(context, target)
    return interpreter


async def _make(context: BuildContext, interpreter: Interpreter, place: Path) -> int:
    # Debian leaves ensurepip out of its Python: the platform's own pip installs instead.
    await run_step(
        context,
        [interpreter.path, "-I", "-m", "venv", "--without-pip", str(place)],
        cwd=context.checkout,
        environment=_pip_environment(context),
        hint="the Python of this machine cannot make virtual environments",
    )
    if is_file(context.checkout, "requirements.txt"):
        await _pip(context, place, ["-r", "requirements.txt"])
    else:
        wanted = _dependencies(context.checkout)
        if wanted:
            listed = place / "requirements.txt"
            listed.write_text("\n".join(wanted) + "\n")
            await _pip(context, place, ["-r", str(listed)])
    await asyncio.to_thread(make_movable, place)
    return await asyncio.to_thread(
        lambda: len(list(place.glob("lib/python*/site-packages/*.dist-info")))
    )


async def _install_project(context: BuildContext, target: Path) -> None:
    """Install a project that is a package itself; its dependencies are there already."""
    text = context.checkout / "pyproject.toml"
    if not project_table(context.checkout) or is_file(context.checkout, "requirements.txt"):
        return
    if "[build-system]" not in text.read_text(errors="replace"):
        return
    await _pip(context, target, ["--no-deps", "."])
    await asyncio.to_thread(make_movable, target)


async def _pip(context: BuildContext, place: Path, what: list[str]) -> None:
    python = place / "bin" / "python"
    await run_step(
        context,
        [sys.executable, "-m", "pip", "--python", str(python), "install", *what],
        cwd=context.checkout,
        environment=_pip_environment(context),
        hint=_HINT,
    )


def _pip_environment(context: BuildContext) -> dict[str, str]:
    home = context.cache / "home"
    home.mkdir(parents=True, exist_ok=True)
    return {
        "HOME": str(home),
        "PIP_CACHE_DIR": str(context.cache / "pip"),
        "PIP_NO_INPUT": "1",
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "PIP_ROOT_USER_ACTION": "ignore",
        "PIP_PROGRESS_BAR": "off",
        **context.environment,
    }


def _dependencies(checkout: Path) -> list[str]:
    """Return the dependencies that pyproject.toml names.

    Raises:
        BuildFailed: it names none that can be read.
    """
    project = project_table(checkout)
    tools = pyproject(checkout).get("tool")
    poetry = not project and isinstance(tools, dict) and "poetry" in tools
    if poetry or is_file(checkout, "Pipfile"):
        raise BuildFailed(
            f"the dependencies are in the own format of {'Poetry' if poetry else 'Pipenv'}",
            hint="export them into a requirements.txt and commit it",
        )
    listed = project.get("dependencies", [])
    if not isinstance(listed, list) or not all(isinstance(entry, str) for entry in listed):
        raise BuildFailed(
            "pyproject.toml: project.dependencies is not a list of requirements",
            hint='write for example `dependencies = ["flask"]`',
        )
    return [str(entry).replace("\n", " ") for entry in listed]


def make_movable(environment: Path) -> None:
    """Rewrite what names the environment's own place, so that it works wherever it is moved.

    Files are replaced, never changed: they may be hard links into the cache.
    """
    own = os.fsencode(str(environment))
    for script in (environment / "bin").iterdir():
        if script.is_symlink() or not script.is_file():
            continue
        if script.name.lower().startswith("activate"):
            script.unlink()
            continue
        text = script.read_bytes()
        match = _LONG_SHEBANG.match(text) or _SHORT_SHEBANG.match(text)
        if match and own in match[0]:
            _replace(script, _SHEBANG + text[match.end() :])
    config = environment / "pyvenv.cfg"
    lines = config.read_bytes().splitlines(keepends=True)
    if any(line.startswith(b"command") for line in lines):
        _replace(config, b"".join(line for line in lines if not line.startswith(b"command")))


def _replace(path: Path, content: bytes) -> None:
    fresh = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}")
    fresh.write_bytes(content)
    shutil.copymode(path, fresh)
    fresh.replace(path)
