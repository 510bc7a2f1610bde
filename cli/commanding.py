"""`helvetia run` and `helvetia shell`: commands in the environment of a release."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from .running import CHANGE, Service, run

if TYPE_CHECKING:
    from .session import Session

app = typer.Typer()

_EXAMPLES = """Examples:

  helvetia run web -- python manage.py migrate
  helvetia run web --release 3 -- cat config.json > config.json
  helvetia shell web
  helvetia shell web -- python"""

Release = Annotated[
    int | None, typer.Option(min=1, metavar="NUMBER", help="In this release, not the live one.")
]


@app.command(name="run", rich_help_panel=CHANGE, epilog=_EXAMPLES)
def run_once(
    service: Service,
    command: Annotated[
        list[str], typer.Argument(metavar="COMMAND...", help="The program and its arguments.")
    ],
    release: Release = None,
) -> None:
    """Run a command once, with the variables, limits and volumes of a release.

    It runs in a copy of its own that is gone with it; only what it writes into volumes stays. Its
    exit code is that of this command, or 128 and the signal that ended it. Ctrl-C ends it.
    """

    async def act(session: Session) -> int:
        from .remote import run_command

        return await run_command(session, service, command, release)

    run(act, as_json=False)


@app.command(rich_help_panel=CHANGE, epilog=_EXAMPLES)
def shell(
    service: Service,
    command: Annotated[
        list[str] | None,
        typer.Argument(metavar="COMMAND...", help="Another program than a shell."),
    ] = None,
    release: Release = None,
) -> None:
    """Open a shell, or another program at a terminal, in a copy of a release.

    It is no instance that serves: the copy is gone when the program ends, and only what it wrote
    into volumes stays.
    """

    async def act(session: Session) -> int:
        from .remote import at_terminal

        return await at_terminal(session, service, command or [], release)

    run(act, as_json=False)
