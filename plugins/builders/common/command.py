"""Commands that people write: split into argument lists without a shell, and run with care."""

from __future__ import annotations

import os
import shlex
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path

from helvetia import BuildContext, BuildFailed

_OPERATORS = "|&;<>\n"


def split_command(text: str, *, where: str, hint: str) -> list[str]:
    """Split a command as a shell would split it, and refuse what only a shell can do.

    Args:
        where: what the command is, as the reader knows it: "build_command", "Procfile line 3".
        hint: how to do the same without shell syntax.

    Raises:
        BuildFailed: the command is empty, a quote is open, or it holds shell operators.
    """
    if operator := _shell_syntax(text):
        raise BuildFailed(
            f"{where}: `{operator}` needs a shell, and commands are started without one: {text}",
            hint=hint,
        )
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise BuildFailed(f"{where}: {str(error).lower()}: {text}", hint="close it") from None
    if not words:
        raise BuildFailed(f"{where}: the command is empty", hint="write a program to start")
    return words


def _shell_syntax(text: str) -> str | None:
    """Return the first piece of text that only a shell understands."""
    quote = ""
    position = 0
    while position < len(text):
        letter = text[position]
        if letter == "\\" and quote != "'":
            position += 2
            continue
        if quote != "'" and (letter == "`" or text.startswith("$(", position)):
            return text[position : position + (1 if letter == "`" else 2)]
        if letter == quote:
            quote = ""
        elif not quote and letter in "'\"":
            quote = letter
        elif not quote and letter in _OPERATORS:
            pair = text[position : position + 2]
            return pair if pair in ("&&", "||", ">>", "<<") else repr(letter).strip("'")
        position += 1
    return None


async def run_step(
    context: BuildContext,
    argv: Sequence[str],
    *,
    cwd: Path,
    environment: Mapping[str, str],
    hint: str,
) -> None:
    """Run one step of a build, saying so in the log.

    Raises:
        BuildFailed: the program is missing or ended with another exit code than 0.
    """
    shown = shlex.join(argv)
    context.log.line(f"$ {shown}")
    try:
        code = await context.run(argv, cwd=cwd, environment=environment)
    except FileNotFoundError:
        raise BuildFailed(
            f"there is no program `{argv[0]}` on this machine, needed for `{shown}`",
            hint=f"install {os.path.basename(argv[0])}, or change the command",
        ) from None
    if code:
        raise BuildFailed(f"`{shown}` {_ended(code)}", hint=hint)


def _ended(code: int) -> str:
    if code > 0:
        return f"ended with exit code {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    return f"was ended by {name}" + (" (out of memory?)" if name == "SIGKILL" else "")
