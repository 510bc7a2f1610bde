"""`helvetia github`: what is at GitHub, and services connected to it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from .running import CHANGE, Json, Service, run

if TYPE_CHECKING:
    from helvetia.plugins.github import shapes

    from .session import Session

app = typer.Typer()
github = typer.Typer(help="GitHub: repositories to choose from, and services connected to them.")
app.add_typer(github, name="github", rich_help_panel=CHANGE)

Search = Annotated[str, typer.Argument(metavar="[SEARCH]", help="Part of a name.")]
Limit = Annotated[int, typer.Option("--limit", "-n", min=1, max=2000, help="How many.")]


@github.command()
def status(as_json: Json = False) -> None:
    """Show how GitHub is set up, and whether you have connected it."""

    async def act(session: Session) -> None:
        found = await session.api.github()
        if session.out.as_json:
            session.out.json(found)
            return
        facts = [("url", found.url), ("connected", "yes" if found.is_connected else "no")]
        if found.app:
            facts += [("app", found.app), ("install at", found.install_url or "")]
        session.out.facts(facts)

    run(act, as_json=as_json)


@github.command()
def repositories(search: Search = "", limit: Limit = 50, as_json: Json = False) -> None:
    """List repositories that you may see, the last pushed to first."""

    async def act(session: Session) -> None:
        found = await session.api.repositories(search, limit=limit)
        if session.out.as_json:
            session.out.json(found)
            return
        rows = [
            [one.name, "private" if one.private else "public", one.permission, one.default_branch]
            for one in found
        ]
        session.out.table(["repository", "visible", "you may", "default branch"], rows)

    run(act, as_json=as_json)


@github.command()
def branches(
    repository: Annotated[str, typer.Argument(metavar="REPOSITORY", help="OWNER/NAME.")],
    search: Search = "",
    limit: Limit = 50,
    as_json: Json = False,
) -> None:
    """List branches of a repository."""

    async def act(session: Session) -> None:
        found = await session.api.branches(repository, search, limit=limit)
        if session.out.as_json:
            session.out.json(found)
            return
        session.out.table(["branch", "commit"], [[one.name, one.sha[:7]] for one in found])

    run(act, as_json=as_json)


@github.command()
def installations(as_json: Json = False) -> None:
    """List installations of the GitHub App that you may use."""

    async def act(session: Session) -> None:
        found = await session.api.installations()
        if session.out.as_json:
            session.out.json(found)
            return
        session.out.table(["id", "account"], [[str(one.id), one.account] for one in found])

    run(act, as_json=as_json)


@github.command()
def connect(service: Service, as_json: Json = False) -> None:
    """Let a service's repository be read by your right, and have pushes deploy it.

    The repository is read for the whole team, as long as you are in it. The webhook is made
    where you are an administrator of the repository.
    """

    async def act(session: Session) -> None:
        _show(session, await session.api.connect_github(service))

    run(act, as_json=as_json)


@github.command()
def show(service: Service, as_json: Json = False) -> None:
    """Show which repository a service is connected to."""

    async def act(session: Session) -> None:
        _show(session, await session.api.github_connection(service))

    run(act, as_json=as_json)


@github.command()
def disconnect(service: Service, as_json: Json = False) -> None:
    """Forget by whose right a repository is read, and remove its webhook."""

    async def act(session: Session) -> None:
        await session.api.disconnect_github(service)
        session.out.done(f"{service} is not connected to GitHub any more")
        if session.out.as_json:
            session.out.json({"disconnected": service})

    run(act, as_json=as_json)


def _show(session: Session, found: shapes.Connection) -> None:
    if session.out.as_json:
        session.out.json(found)
        return
    facts = [("repository", found.repository), ("read by", found.via), ("webhook", found.hook)]
    session.out.facts([*facts, ("problem", found.problem or "none")])
