"""The command and environment of an instance: filled in and found, without a shell."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from helvetia import DIRECTORY, InstanceSpec, ReleaseFailed
from helvetia.plugins.runtimes.common.placeholders import fill

_PASSED = ("LANG", "LC_ALL", "TZ", "TMPDIR")


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """What to execute, with everything filled in."""

    argv: list[str]
    cwd: Path
    environment: dict[str, str] = field(repr=False)


def expand(text: str, environment: Mapping[str, str], workdir: Path) -> str:
    """Fill `$NAME`, `${NAME}`, `${NAME:-default}`, `{workdir}` and `{python}`, once each."""
    return fill(text, environment, workdir=str(workdir), python=sys.executable)


def make_program(
    spec: InstanceSpec, workdir: Path, *, home: Path, added: Mapping[str, str] | None = None
) -> Program:
    """Prepare the process of the spec to run in `workdir`, with the variables `added`.

    `home` is its home folder if the spec names none: never that of the platform's user.

    Raises:
        ReleaseFailed: the artifact has no such process, or its program is not there.
    """
    template = command_of(spec)
    environment = {name: os.environ[name] for name in _PASSED if name in os.environ}
    environment["HOME"] = str(home)
    for name, value in spec.environment.items():
        own = name in spec.secrets
        environment[name] = value if own else value.replace("{workdir}", str(workdir))
    environment |= added or {}
    # The platform's own folders come last: what the artifact brings wins.
    folders = [
        *environment.get("PATH", "").split(":"),
        *os.environ.get("PATH", os.defpath).split(":"),
    ]
    environment["PATH"] = ":".join(dict.fromkeys(filter(None, folders)))
    argv = list(spec.command) or [expand(part, environment, workdir) for part in template]
    argv[0] = _find(argv[0], spec, workdir, environment["PATH"])
    return Program(argv=argv, cwd=workdir, environment=environment)


def command_of(spec: InstanceSpec) -> list[str]:
    """Return the command of the process as the artifact has it.

    Raises:
        ReleaseFailed: the artifact cannot be run here, or has no such process.
    """
    artifact = spec.artifact.artifact
    if artifact.kind != DIRECTORY or not artifact.folder.is_dir():
        raise ReleaseFailed(
            f"the {artifact.kind} of release {spec.release_id} is not on this machine",
            hint="Deploy the revision again to build it anew.",
        )
    if spec.command:
        return list(spec.command)
    template = artifact.processes.get(spec.process)
    if not template:
        known = ", ".join(f"`{name}`" for name in artifact.processes) or "none"
        raise ReleaseFailed(
            f"the release has no process `{spec.process}`", hint=f"It has: {known}."
        )
    return template


def _find(name: str, spec: InstanceSpec, workdir: Path, path: str) -> str:
    if "/" in name:
        full = os.path.join(workdir, name)
        found = full if os.path.isfile(full) and os.access(full, os.X_OK) else None
    else:
        found = shutil.which(name, path=path) if name else None
    if found is None:
        what = "the command" if spec.command else f"process `{spec.process}`"
        raise ReleaseFailed(
            f"{what}: there is no program `{name}`",
            hint="Add it to the dependencies of the service, install it on this machine, "
            "or correct the command of the process.",
        )
    return found
