"""`helvetia keys`: replace the key with which secrets are encrypted."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

import typer

from .running import PLATFORM, Json

if TYPE_CHECKING:
    from helvetia.kernel.settings import Settings

    from .rotating import Rotated

app = typer.Typer()
keys = typer.Typer(help="The keys with which secrets are encrypted at rest.")
app.add_typer(keys, name="keys", rich_help_panel=PLATFORM)


@keys.command()
def rotate(as_json: Json = False) -> None:
    """Make a new key and encrypt all stored secrets with it.

    On the machine of the platform, which may run meanwhile. What was interrupted is gone on
    with by the next call. The former keys stay in the file behind the new one, for backups.
    """
    from .rotating import rotate

    _run(rotate, as_json=as_json)


@keys.command()
def forget(as_json: Json = False) -> None:
    """Remove the former keys, once nothing needs them any more.

    Backups of the database from before the last rotation cannot be read after this, and
    browsers that signed in before it sign in again.
    """
    from .rotating import forget

    _run(forget, as_json=as_json)


def _run(act: Callable[[Settings], Coroutine[Any, Any, Rotated]], *, as_json: bool) -> None:
    import asyncio

    from helvetia.kernel.settings import Settings, default_home

    from .output import Output

    out = Output(as_json=as_json)
    done = asyncio.run(act(Settings(default_home())))
    if out.as_json:
        out.json({"what": done.what, "encrypted": done.encrypted, "unreadable": done.unreadable})
        return
    out.done(done.what)
    for name, count in done.encrypted.items():
        out.note(f"  {count} encrypted anew in {name}")
    for place in done.unreadable:
        out.note(f"  cannot be read, and stays as it is: {place}")
