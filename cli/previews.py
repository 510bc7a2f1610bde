"""`helvetia previews`: pull requests at addresses of their own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from .running import CHANGE, Json, Service, run

if TYPE_CHECKING:
    from .session import Session

app = typer.Typer()
_VERBS = ("on", "off", "policy", "remove")


@app.command(rich_help_panel=CHANGE)
def previews(
    service: Service,
    verb: Annotated[
        str | None, typer.Argument(metavar="on|off|policy|remove", help="Nothing: list them.")
    ] = None,
    number: Annotated[
        int | None, typer.Argument(metavar="NUMBER", help="Of the pull request to remove.")
    ] = None,
    forks: Annotated[
        str,
        typer.Option(
            metavar="never|members",
            help="Pull requests from forks: none, or of people who may write anyway.",
        ),
    ] = "never",
    limit: Annotated[int, typer.Option(help="Most previews at once.")] = 5,
    hours: Annotated[int, typer.Option(help="How long one is kept after the last push.")] = 168,
    as_json: Json = False,
) -> None:
    """List previews of pull requests, give them to a service, or remove one.

    A preview is a service of its own, named pr-NUMBER-SERVICE. It gets the variables that are for
    previews, is deployed again with each push, and goes when the pull request is closed.
    """
    from helvetia.kernel.errors import InvalidInput

    if verb not in (None, *_VERBS):
        raise InvalidInput("previews", f"`{verb}` must be `on`, `off`, `policy` or `remove`")
    if (verb == "remove") != (number is not None):
        raise InvalidInput("NUMBER", "goes with `remove`, and only with it")

    async def act(session: Session) -> None:
        if verb is None:
            await _list(session, service)
        elif number is not None:
            await session.api.remove_preview(service, number)
            _done(session, f"the preview of pull request {number} goes", {"removed": number})
        elif verb == "off":
            await session.api.disable_previews(service)
            _done(session, f"{service} has no previews any more", {"disabled": service})
        elif verb == "policy":
            found = await session.api.preview_policy(service)
            if session.out.as_json:
                session.out.json(found)
                return
            session.out.facts(
                [
                    ("previews", "on" if found.is_on else "off"),
                    ("forks", found.forks),
                    ("at most", str(found.limit)),
                    ("kept", f"{found.hours} h after the last push"),
                ]
            )
        else:
            from helvetia.plugins.previews.shapes import NewPolicy

            from .api import validated

            values = {"forks": forks, "limit": limit, "hours": hours}
            names = {name: f"--{name}" for name in values}
            made = await session.api.enable_previews(
                service, validated(NewPolicy, values, names=names)
            )
            if session.out.as_json:
                session.out.json(made)
            else:
                session.out.done(f"pull requests of {service} get previews from now on")

    run(act, as_json=as_json)


def _done(session: Session, text: str, document: dict[str, object]) -> None:
    session.out.done(text)
    if session.out.as_json:
        session.out.json(document)


async def _list(session: Session, service: str) -> None:
    from . import rendering

    found = await session.api.previews(service)
    if session.out.as_json:
        session.out.json(found)
        return
    if not found:
        session.out.note(f"no previews; see `helvetia previews {service} policy`")
        return
    rows: list[list[rendering.Cell]] = [
        [
            str(one.number),
            rendering.styled(one.status),
            one.url,
            rendering.commit(one.sha, one.title),
            f"{one.author} (fork)" if one.is_fork else one.author,
        ]
        for one in found
    ]
    session.out.table(["pull request", "status", "url", "commit", "author"], rows)
