"""The files of packages and of all that they depend on, as dpkg put them on this machine."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

_QUERY = (
    "${Package}\t${binary:Package}\t${db:Status-Status}\t${Essential} ${Priority}\t${Provides}"
    "\t${Pre-Depends}, ${Depends}\n"
)
_LINKS = Path("/var/lib/dpkg/alternatives")
# No package has these; its scripts make them when it is installed.
_MADE = ("/etc/group", "/etc/passwd", "/etc/ssl/certs/ca-certificates.crt")


def installed_files(packages: Iterable[str]) -> list[str]:
    """Return the paths of what `debootstrap` would install; none if this machine lacks a package.

    Packages that every Debian has are among them, without recommended ones.
    """
    if not shutil.which("dpkg-query"):
        return []
    known, needs, always = _packages()
    chosen: set[str] = set()
    waiting = [*packages, *always]
    while waiting:
        name = waiting.pop()
        if name not in known:
            return []
        if (full := known[name]) in chosen:
            continue
        chosen.add(full)
        for choice in needs[full]:
            here = [one for one in choice if one in known]
            waiting.append((here or choice)[0])
    said = _run("dpkg-query", "--listfiles", *sorted(chosen))
    listed = {_real(line) for line in said.splitlines() if line.startswith("/")}
    listed |= {*_alternatives(listed), *(path for path in _MADE if os.path.exists(path))}
    tops = {f"/{name}" for name in os.listdir("/") if os.path.islink(f"/{name}")}
    return sorted({*(path for path in listed if os.path.lexists(path) and path != "/"), *tops})


def _packages() -> tuple[dict[str, str], Mapping[str, list[list[str]]], list[str]]:
    """Return packages by each of their names, what each needs, and those of every Debian."""
    known: dict[str, str] = {}
    virtual: dict[str, str] = {}
    needs: dict[str, list[list[str]]] = {}
    always = []
    for line in _run("dpkg-query", "--show", f"--showformat={_QUERY}").splitlines():
        name, full, status, weight, provides, depends = line.split("\t")
        if status != "installed":
            continue
        known.setdefault(name, full)
        virtual |= {one: full for (one,) in _names(provides)}
        needs[full] = list(_names(depends))
        if weight.startswith("yes") or weight.endswith("required"):
            always.append(name)
    return virtual | known, needs, always


def _names(relation: str) -> Iterator[list[str]]:
    for group in filter(None, map(str.strip, relation.split(","))):
        yield [re.split(r"[\s:(]", choice.strip())[0] for choice in group.split("|")]


def _alternatives(files: set[str]) -> Iterator[str]:
    """Give programs of which there are several the names by which they are started."""
    for record in _LINKS.glob("*"):
        for link in record.read_text(errors="replace").splitlines():
            if link.startswith("/") and os.path.islink(link) and os.path.realpath(link) in files:
                yield from (_real(link), os.readlink(link))


def _real(path: str) -> str:
    """Name a file by its real folder: /bin may be /usr/bin."""
    folder, name = os.path.split(os.path.normpath(path))
    return os.path.join(os.path.realpath(folder), name)


def _run(*argv: str) -> str:
    return subprocess.run(argv, check=True, capture_output=True, text=True).stdout
