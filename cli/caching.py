"""`helvetia cache`: what is kept for the next build of a service."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from .running import CHANGE, Json, Service, run

if TYPE_CHECKING:
    from .session import Session

app = typer.Typer()
cache = typer.Typer(help="Clear the build cache of a service.")
app.add_typer(cache, name="cache", rich_help_panel=CHANGE)


@cache.callback()
def group() -> None:
    """Clear the build cache of a service."""


@cache.command()
def clear(service: Service, as_json: Json = False) -> None:
    """Drop layers, packages and whatever else is kept for the next build of a service.

    Its next build takes longer; what runs is not touched.
    """

    async def act(session: Session) -> None:
        from . import rendering

        with session.out.working("clearing"):
            found = await session.api.clear_cache(service)
        if session.out.as_json:
            session.out.json(found)
        else:
            size = rendering.size(found.freed_bytes)
            session.out.done(f"the build cache of {service} is clear, {size} freed")

    run(act, as_json=as_json)
