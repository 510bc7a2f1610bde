"""From a command, which is a plain function, to a coroutine with a session.

Everything that is slow to import is imported here and not before a command runs.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from .session import Session

Json = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
NoWait = Annotated[bool, typer.Option("--no-wait", help="Do not wait for the end.")]
Service = Annotated[str, typer.Argument(metavar="SERVICE", help="Name of the service.")]

DEPLOY, LOOK, CHANGE, PLATFORM = "Deploy", "Look", "Change", "Platform"
PANELS = (DEPLOY, LOOK, CHANGE, PLATFORM)
"""The subjects of `helvetia --help`, in order."""


def run(act: Callable[[Session], Awaitable[int | None]], *, as_json: bool) -> None:
    """Run the body of a command; what it returns is the exit code.

    Raises:
        typer.Exit: the exit code is not 0.
    """
    import asyncio
    import gc

    from .session import open_session

    async def whole() -> int:
        async with open_session(as_json=as_json) as session:
            gc.enable()
            return await act(session) or 0

    if code := asyncio.run(whole()):
        raise typer.Exit(code)


def ask_for_name(question: str, name: str) -> None:
    """Let a person type the name of what is to be deleted.

    Raises:
        InvalidInput: nobody is there to ask, or something else was typed.
    """
    import sys

    from helvetia.kernel.errors import InvalidInput

    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise InvalidInput("--yes", "is needed where nobody can be asked")
    typed = typer.prompt(f"{question} Type its name", default="", show_default=False, err=True)
    if typed.strip() != name:
        raise InvalidInput("name", "that is not it; nothing was deleted")
