"""`helvetia sessions`, `accounts` and `teams`: who comes in, how, and with whom they work."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from .running import PLATFORM, Json, run

if TYPE_CHECKING:
    from .session import Session

app = typer.Typer()
sessions = typer.Typer(help="Browsers that are signed in.")
accounts = typer.Typer(help="The ways in which you sign in.")
app.add_typer(sessions, name="sessions", rich_help_panel=PLATFORM)
app.add_typer(accounts, name="accounts", rich_help_panel=PLATFORM)

User = Annotated[
    str | None, typer.Option(metavar="ID", help="Whose, by user id; for operators only.")
]


@sessions.command("list")
def list_sessions(user: User = None, as_json: Json = False) -> None:
    """List your sessions: since when, last seen, from where."""

    async def act(session: Session) -> None:
        from . import rendering
        from .people_api import PeopleApi

        found = await PeopleApi(session.api.client).sessions(user)
        if session.out.as_json:
            session.out.json(found)
            return
        rows = [
            [
                one.id,
                rendering.age(one.created_at),
                rendering.age(one.last_seen_at),
                one.address,
                one.browser[:60],
            ]
            for one in found
        ]
        session.out.table(["id", "begun", "seen", "address", "browser"], rows)

    run(act, as_json=as_json)


@sessions.command()
def end(
    id: Annotated[str, typer.Argument(metavar="ID", help="Id, from `helvetia sessions list`.")],
    as_json: Json = False,
) -> None:
    """Sign a browser out, at once."""

    async def act(session: Session) -> None:
        from .people_api import PeopleApi

        await PeopleApi(session.api.client).end_session(id)
        session.out.done(f"session {id} is ended")
        if session.out.as_json:
            session.out.json({"ended": id})

    run(act, as_json=as_json)


@sessions.command("end-all")
def end_all(user: User = None, as_json: Json = False) -> None:
    """Sign out everywhere. API tokens go on."""

    async def act(session: Session) -> None:
        from .people_api import PeopleApi

        told = await PeopleApi(session.api.client).end_all_sessions(user)
        session.out.done(f"{told.ended} sessions are ended")
        if session.out.as_json:
            session.out.json(told)

    run(act, as_json=as_json)


@accounts.command("list")
def list_accounts(as_json: Json = False) -> None:
    """List how you sign in. One more is connected in a browser."""

    async def act(session: Session) -> None:
        from . import rendering
        from .people_api import PeopleApi

        found = await PeopleApi(session.api.client).accounts()
        if session.out.as_json:
            session.out.json(found)
            return
        rows = [[one.provider, one.title, rendering.age(one.connected_at)] for one in found]
        session.out.table(["provider", "title", "connected"], rows)

    run(act, as_json=as_json)


@accounts.command()
def disconnect(
    provider: Annotated[
        str, typer.Argument(metavar="PROVIDER", help="From `helvetia accounts list`.")
    ],
    as_json: Json = False,
) -> None:
    """Sign in by it no more; what it has granted is revoked. The last one stays."""

    async def act(session: Session) -> None:
        from .people_api import PeopleApi

        await PeopleApi(session.api.client).disconnect(provider)
        session.out.done(f"{provider} is disconnected")
        if session.out.as_json:
            session.out.json({"disconnected": provider})

    run(act, as_json=as_json)
