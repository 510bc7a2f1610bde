"""`helvetia users`: one-time links for people, made on the machine of the platform."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated

import typer

from helvetia import InvalidInput

if TYPE_CHECKING:
    from helvetia.kernel.settings import Settings

app = typer.Typer(name="users", help="People who sign in by password.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    """People who sign in by password."""


@app.command()
def link(
    reset: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="set a new password for this user, not a new account"),
    ] = None,
) -> None:
    """Print a link that makes an account once, or sets a new password."""
    from helvetia.kernel.settings import Settings, default_home

    settings = Settings(default_home())
    host, port = settings.http
    host = f"[{host}]" if ":" in host else host
    typer.echo(f"http://{host}:{port}{asyncio.run(_issue(settings, reset))}")


async def _issue(settings: Settings, name: str | None) -> str:
    # Imported here: every `helvetia` command loads this module, few need the database.
    from helvetia.kernel.platform import Platform

    from . import links
    from .models import Password, Purpose
    from .passwords import fold

    platform = Platform(settings)
    await platform.open()
    try:
        if name is None:
            return await links.issue(Purpose.INVITE)
        person = await Password.get_or_none(login=fold(name))
        if person is None:
            raise InvalidInput("reset", f"nobody signs in as `{name}`")
        return await links.issue(Purpose.RESET, subject=person.subject)
    finally:
        await platform.close()
