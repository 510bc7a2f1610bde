"""Read a Procfile: one `name: command` a line, started without a shell."""

from __future__ import annotations

import re

from helvetia import BuildFailed
from helvetia.plugins.builders.common.command import split_command

_LINE = re.compile(r"([A-Za-z0-9_-]+)\s*:\s*(.*)")
_ASSIGNMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_]*=")


def parse_procfile(text: str) -> dict[str, list[str]]:
    """Return process name to argument list.

    Raises:
        BuildFailed: with the number of the line that cannot be read.
    """
    processes: dict[str, list[str]] = {}
    for number, line in enumerate(text.removeprefix("\ufeff").splitlines(), start=1):
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        match = _LINE.fullmatch(line)
        if match is None:
            raise BuildFailed(
                f"Procfile line {number}: not of the form `name: command`: {line}",
                hint="a name has letters, digits, - and _; as in `web: gunicorn app:app`",
            )
        name, command = match.groups()
        if name in processes:
            raise BuildFailed(
                f"Procfile line {number}: there are two processes `{name}`", hint="remove one"
            )
        processes[name] = parse_command(command, name, f"Procfile line {number}")
    return processes


def parse_command(command: str, process: str, where: str) -> list[str]:
    """Return the argument list of a command; leading `NAME=value` words go through `env`.

    `$NAME`, `${NAME}` and `${NAME:-default}` stay as they are: the runtime fills them in.

    Raises:
        BuildFailed: the command is empty or needs a shell.
    """
    words = split_command(
        command,
        where=where,
        hint=f"put it into a script and start that: `{process}: bash start.sh`",
    )
    if not _ASSIGNMENT.match(words[0]):
        return words
    if all(_ASSIGNMENT.match(word) for word in words):
        raise BuildFailed(f"{where}: variables, but no program to start: {command}")
    return ["env", *words]
