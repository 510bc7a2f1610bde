"""`helvetia notifications`: who is told of what, and where."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .running import CHANGE, Json, run

if TYPE_CHECKING:
    from .notifying_api import NotifyingApi
    from .session import Session

app = typer.Typer()
_EXAMPLES = """Examples:

  helvetia notifications add ops --kind webhook --target https://example.com/hook
  HELVETIA_TARGET=https://hooks.slack.com/services/... helvetia notifications add chat --kind slack
  helvetia notifications add ann --kind email --target ann@example.com --topic deployment
  helvetia notifications test ID
  helvetia notifications messages ID"""
notifications = typer.Typer(
    help="Tell people of failed deployments, crashes, full disks and certificates.",
    epilog=_EXAMPLES,
)
app.add_typer(notifications, name="notifications", rich_help_panel=CHANGE)

Team = Annotated[
    str | None, typer.Option(metavar="NAME", help="Which team; needed if you are in several.")
]
Channel = Annotated[
    str, typer.Argument(metavar="ID", help="Id, from `helvetia notifications list`.")
]
Target = Annotated[
    str | None,
    typer.Option(
        metavar="URL|ADDRESS",
        help="Where to; better in the variable HELVETIA_TARGET, as others see command lines.",
    ),
]
Topics = Annotated[
    list[str] | None,
    typer.Option(
        "--topic",
        metavar="TOPIC",
        help="deployment, crash, disk or certificate; may be given several times. Default: all.",
    ),
]
Services = Annotated[
    list[str] | None,
    typer.Option("--service", metavar="NAME", help="Only of this service; may be repeated."),
]
_NAMES = {
    "name": "NAME", "kind": "--kind", "target": "--target", "topics": "--topic",
    "services": "--service",
}  # fmt: skip


@notifications.command(name="list")
def list_channels(team: Team = None, as_json: Json = False) -> None:
    """List where a team is told of what."""

    async def act(session: Session) -> None:
        api, name = await _api(session, team)
        found = await api.channels(name)
        if as_json:
            session.out.json(found)
        elif not found:
            session.out.note("nobody is told yet; see `helvetia notifications add --help`")
        else:
            rows = [
                [
                    one.id,
                    one.name,
                    one.kind,
                    ", ".join(one.topics),
                    ", ".join(one.services) or "all",
                ]
                for one in found
            ]
            session.out.table(["id", "name", "kind", "topics", "services"], rows)

    run(act, as_json=as_json)


@notifications.command()
def add(
    name: Annotated[str, typer.Argument(metavar="NAME", help="What to call it.")],
    kind: Annotated[str, typer.Option(metavar="KIND", help="webhook, slack, discord or email.")],
    target: Target = None,
    topic: Topics = None,
    service: Services = None,
    team: Team = None,
    as_json: Json = False,
) -> None:
    """Make a channel.

    The target is never shown again. A webhook gets a secret, with which its messages are signed; it
    is printed this once.
    """

    async def act(session: Session) -> None:
        from helvetia.plugins.notifications.shapes import NewChannel

        from .api import validated

        values = {"name": name, "kind": kind, **_given(target, topic, service)}
        new = validated(NewChannel, values, names=_NAMES)
        api, its_team = await _api(session, team)
        made = await api.create_channel(its_team, new)
        if as_json:
            session.out.json(made)
            return
        session.out.facts([("id", made.id), ("secret", made.secret or "")])
        session.out.note((f"try it: helvetia notifications test {made.id}", "dim"))

    run(act, as_json=as_json)


@notifications.command()
def change(
    id: Channel,
    name: Annotated[str | None, typer.Option(metavar="NAME", help="Another name.")] = None,
    target: Target = None,
    topic: Topics = None,
    service: Services = None,
    team: Team = None,
    as_json: Json = False,
) -> None:
    """Change what is named; the rest stays."""

    async def act(session: Session) -> None:
        from helvetia.plugins.notifications.shapes import ChannelChange

        from .api import validated

        values = _given(target, topic, service) | ({"name": name} if name else {})
        api, its_team = await _api(session, team)
        changed = await api.change_channel(
            its_team, id, validated(ChannelChange, values, names=_NAMES)
        )
        if as_json:
            session.out.json(changed)
        else:
            session.out.done(f"{changed.name} is changed")

    run(act, as_json=as_json)


@notifications.command()
def remove(id: Channel, team: Team = None, as_json: Json = False) -> None:
    """Tell nobody by a channel any more."""

    async def act(session: Session) -> None:
        api, its_team = await _api(session, team)
        await api.remove_channel(its_team, id)
        session.out.done(f"{id} is removed")
        if as_json:
            session.out.json({"removed": id})

    run(act, as_json=as_json)


@notifications.command(name="test")
def try_channel(id: Channel, team: Team = None, as_json: Json = False) -> None:
    """Send a message that says that the channel works, and wait for what becomes of it."""

    async def act(session: Session) -> int:
        import asyncio

        from helvetia.kernel.errors import ExitCode

        api, its_team = await _api(session, team)
        sent = await api.try_channel(its_team, id)
        for _ in range(60):
            if sent.status != "waiting" or sent.problem:
                break
            await asyncio.sleep(0.5)
            newest = await api.messages(its_team, id, limit=20)
            sent = next((one for one in newest if one.id == sent.id), sent)
        if as_json:
            session.out.json(sent)
        elif sent.status == "sent":
            session.out.done("it was taken")
        else:
            session.out.warn(sent.problem or "it waits; see `helvetia notifications messages`")
        return ExitCode.OK if sent.status == "sent" else ExitCode.ERROR

    run(act, as_json=as_json)


@notifications.command()
def messages(
    id: Channel,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=200, help="How many.")] = 20,
    team: Team = None,
    as_json: Json = False,
) -> None:
    """List what was sent, and what was not and why."""

    async def act(session: Session) -> None:
        from . import rendering

        api, its_team = await _api(session, team)
        found = await api.messages(its_team, id, limit=limit)
        if as_json:
            session.out.json(found)
            return
        rows = [
            [rendering.age(one.created_at), one.status, str(one.attempts), one.title, one.problem]
            for one in found
        ]
        session.out.table(["made", "status", "attempts", "title", "problem"], rows)

    run(act, as_json=as_json)


def _given(
    target: str | None, topics: list[str] | None, services: list[str] | None
) -> dict[str, Any]:
    """Return what a person has named; the target may be in the environment."""
    found = {
        "target": target or os.environ.get("HELVETIA_TARGET"),
        "topics": topics,
        "services": services,
    }
    return {name: value for name, value in found.items() if value}


async def _api(session: Session, team: str | None) -> tuple[NotifyingApi, str]:
    """Return the API and the team that is meant.

    Raises:
        InvalidInput: there are several.
    """
    from helvetia.kernel.errors import InvalidInput

    from .notifying_api import NotifyingApi

    api = NotifyingApi(session.api.client)
    if team is not None:
        return api, team
    names = [one.name for one in await api.teams()]
    if len(names) != 1:
        raise InvalidInput("--team", f"which one? There are: {', '.join(names) or 'none'}")
    return api, names[0]
