"""The platform's own Python as the lowest layer of images: only what the server of sites needs.

No image has to be pulled for it, and what serves a site is the same program in a container as
in a process. What the server needs is found by letting it serve.
"""

from __future__ import annotations

import importlib.util
import json
import marshal
import os
import re
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from helvetia import BuildFailed

PROGRAM = "/python/bin/python3"
_LIBRARY = f"/python/{sys.platlibdir}/python{sysconfig.get_python_version()}"
# The server gets on without them where a Python has hash functions of its own, and without
# OpenSSL there is less in an image that grows old.
_SPARED = ("ssl", "_ssl", "_hashlib", "brotli", "brotlicffi", "aiodns", "zstandard")
_TESTS = frozenset({"test", "tests", "__pycache__"})
_UNCHECKED = (1).to_bytes(4, "little")
_NEEDED = re.compile(r"^\s*(?:(?P<name>\S+) => )?(?P<path>/\S+) \(0x", re.M)
_SECONDS = 60


@dataclass(frozen=True, slots=True)
class Taken:
    """A file for an image, and the file of this machine that it was made of."""

    content: Path | bytes
    origin: Path


Files = dict[str, Taken]


def find() -> Files:
    """Return the files of this Python by their paths in an image. Takes some seconds; blocks.

    Raises:
        BuildFailed: it cannot be taken along.
    """
    try:
        modules = _loaded(_SPARED) or _loaded(())
        if not modules:
            raise OSError("it does not serve a site on its own")
        return _collect(modules)
    except (OSError, subprocess.SubprocessError, SyntaxError, ValueError) as error:
        raise BuildFailed(
            f"the platform's Python cannot be put into an image: {error}",
            hint="Name an image with python3 and aiohttp as `base` in section [static], or let "
            "`serve_from` there be `folder`.",
        ) from error


def _loaded(spared: tuple[str, ...]) -> list[dict[str, Any]]:
    """Let the server serve without some modules; return those it took, none if it cannot."""
    script = resources.files(__package__).joinpath("probe.py").read_text()
    place = str(Path(__file__).parent)
    done = subprocess.run(
        [sys.executable, "-I", "-c", script, place, json.dumps(spared)],
        capture_output=True,
        timeout=_SECONDS,
    )
    found: list[dict[str, Any]] = [] if done.returncode else json.loads(done.stdout)
    return found


def _collect(modules: list[dict[str, Any]]) -> Files:
    library = os.path.realpath(sysconfig.get_path("stdlib"))
    program = Path(sys.executable).resolve()
    files: Files = {PROGRAM: Taken(program, program)}
    for module in modules:
        name, file = module["name"], Path(module["file"])
        # What a virtual environment loads at its start has nothing to do with the server.
        own = os.path.realpath(file).startswith(f"{library}/") and "-packages" not in str(file)
        if "." in name or not (own or module["new"]):
            continue
        if module["package"]:
            files |= _package(name, file.parent)
        else:
            files |= _module(name + _ending(file), file)
    programs = [one.origin for one in files.values() if isinstance(one.content, Path)]
    return files | {place: Taken(path, path) for place, path in _libraries(programs)}


def _package(name: str, folder: Path) -> Files:
    files: Files = {}
    for path in sorted(folder.rglob("*")):
        inside = path.relative_to(folder)
        if path.suffix in (".py", ".so") and not _TESTS & set(inside.parts):
            files |= _module(f"{name}/{inside}", path)
    return files


def _module(name: str, path: Path) -> Files:
    """Return a module; one in Python is compiled, which spares every start the time for it."""
    if path.suffix != ".py":
        folder = _LIBRARY if "/" in name else f"{_LIBRARY}/lib-dynload"
        return {f"{folder}/{name}": Taken(path, path)}
    place = f"{_LIBRARY}/{name}c"
    code = marshal.dumps(compile(path.read_bytes(), place[:-1], "exec", dont_inherit=True))
    source_hash = importlib.util.source_hash(path.read_bytes())
    return {place: Taken(importlib.util.MAGIC_NUMBER + _UNCHECKED + source_hash + code, path)}


def _ending(file: Path) -> str:
    return file.name[file.name.index(".") :]


def _libraries(programs: list[Path]) -> Iterator[tuple[str, Path]]:
    """Yield the shared libraries that these files load, and the loader itself."""
    for program in programs:
        # One by one: that of musl takes no more.
        said = subprocess.run(["ldd", program], capture_output=True, text=True, timeout=_SECONDS)
        for found in _NEEDED.finditer(said.stdout):
            path = Path(found["path"])
            # The loader is looked for where it lies here; it looks for the others in /lib.
            yield (f"/lib/{found['name']}" if found["name"] else found["path"]), path
