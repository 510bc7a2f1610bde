"""`helvetia token`: what lets programs use the API."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from .running import PLATFORM, Json, run

if TYPE_CHECKING:
    from .session import Session

app = typer.Typer()
token = typer.Typer(help="Make, list and revoke API tokens.")
app.add_typer(token, name="token", rich_help_panel=PLATFORM)


@token.command()
def create(
    name: Annotated[str, typer.Argument(metavar="NAME", help="What it is for.")],
    scope: Annotated[
        str,
        typer.Option(
            metavar="SCOPE",
            help="The most it may do: `read`, `deploy` (also change and run services), or `admin`, "
            "which is all that you may.",
        ),
    ] = "admin",
    expires_in_days: Annotated[
        int | None, typer.Option(metavar="DAYS", min=1, max=3650, help="Default: it never expires.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Make a token and print it: it is shown this once."""

    async def act(session: Session) -> None:
        from helvetia.plugins.api.schemas import NewToken

        from .api import validated

        values = {"name": name, "scope": scope, "expires_in_days": expires_in_days}
        wanted = validated(NewToken, values, names={"name": "NAME", "scope": "--scope"})
        made = await session.api.create_token(wanted)
        if session.out.as_json:
            session.out.json(made)
        else:
            session.out.line(made.token or "")
        session.out.note(("keep it now, it is not shown again; use it as HELVETIA_TOKEN", "dim"))

    run(act, as_json=as_json)


@token.command("list")
def list_(as_json: Json = False) -> None:
    """List the tokens, without their secrets."""

    async def act(session: Session) -> None:
        from . import rendering

        found = await session.api.tokens()
        if session.out.as_json:
            session.out.json(found)
            return
        rows = [
            [
                one.id,
                one.name,
                one.scope,
                rendering.age(one.created_at),
                rendering.age(one.last_used_at) if one.last_used_at else "never",
                f"{one.expires_at:%Y-%m-%d}" if one.expires_at else "never",
            ]
            for one in found
        ]
        session.out.table(["id", "name", "scope", "made", "used", "expires"], rows)

    run(act, as_json=as_json)


@token.command()
def revoke(
    id: Annotated[str, typer.Argument(metavar="ID", help="Id, from `helvetia token list`.")],
    as_json: Json = False,
) -> None:
    """Make a token worthless, at once."""

    async def act(session: Session) -> None:
        await session.api.revoke_token(id)
        session.out.done(f"token {id} is revoked")
        if session.out.as_json:
            session.out.json({"revoked": id})

    run(act, as_json=as_json)
