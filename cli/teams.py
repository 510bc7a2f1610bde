"""`helvetia teams`: teams, their members, invitations."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from .running import PLATFORM, Json, Yes, ask_for_name, run

if TYPE_CHECKING:
    from .session import Session

app = typer.Typer()
teams = typer.Typer(help="Teams and who is in them.")
app.add_typer(teams, name="teams", rich_help_panel=PLATFORM)

Team = Annotated[str, typer.Argument(metavar="TEAM", help="Name of the team.")]
User = Annotated[str, typer.Argument(metavar="USER", help="Id, from `helvetia teams members`.")]
Role = Annotated[
    str, typer.Option(metavar="ROLE", help="viewer, member, admin or owner; each may more.")
]


@teams.command("list")
def list_(as_json: Json = False) -> None:
    """List your teams, and your role in each."""

    async def act(session: Session) -> None:
        from .people_api import PeopleApi

        found = await PeopleApi(session.api.client).teams()
        if session.out.as_json:
            session.out.json(found)
            return
        rows = [[one.name, one.role or "-", str(one.members), one.id] for one in found]
        session.out.table(["name", "role", "members", "id"], rows)

    run(act, as_json=as_json)


@teams.command()
def create(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Lower-case letters and hyphens.")],
    as_json: Json = False,
) -> None:
    """Make a team, whose owner you are."""

    async def act(session: Session) -> None:
        from helvetia.plugins.api.people import NewTeam

        from .api import validated
        from .people_api import PeopleApi

        wanted = validated(NewTeam, {"name": name}, names={"name": "NAME"})
        made = await PeopleApi(session.api.client).create_team(wanted)
        session.out.done(f"team {made.name} is made")
        if session.out.as_json:
            session.out.json(made)

    run(act, as_json=as_json)


@teams.command()
def delete(team: Team, yes: Yes = False, as_json: Json = False) -> None:
    """Delete a team of yours; one with services is refused."""

    async def act(session: Session) -> None:
        from .people_api import PeopleApi

        if not yes:
            ask_for_name(f"Delete the team {team} with its variables and invitations?", team)
        await PeopleApi(session.api.client).delete_team(team)
        session.out.done(f"team {team} is deleted")
        if session.out.as_json:
            session.out.json({"deleted": team})

    run(act, as_json=as_json)


@teams.command()
def leave(team: Team, as_json: Json = False) -> None:
    """Leave a team. The last owner stays."""

    async def act(session: Session) -> None:
        from .people_api import PeopleApi

        await PeopleApi(session.api.client).leave(team)
        session.out.done(f"you are not in {team} any more")
        if session.out.as_json:
            session.out.json({"left": team})

    run(act, as_json=as_json)


@teams.command()
def env(
    team: Team,
    verb: Annotated[
        str | None, typer.Argument(metavar="set|unset|scope", help="Nothing: list the names.")
    ] = None,
    values: Annotated[
        list[str] | None, typer.Argument(metavar="NAME=VALUE", help="What to set, unset or scope.")
    ] = None,
    from_file: Annotated[
        str | None, typer.Option(metavar="FILE", help="Set what is in a file of NAME=VALUE lines.")
    ] = None,
    wanted: Annotated[
        str | None,
        typer.Option("--for", metavar="SCOPES", help="What gets it: build, run, preview."),
    ] = None,
    as_json: Json = False,
) -> None:
    """List, set and unset variables that all services of a team get; their own win."""
    from helvetia.kernel.errors import InvalidInput

    from .changing import change_of

    if verb in ("diff", "export"):
        raise InvalidInput("env", f"`{verb}` is for services: helvetia env SERVICE {verb}")
    change = change_of(verb, values or [], from_file, wanted)

    async def act(session: Session) -> None:
        from . import rendering
        from .people_api import PeopleApi

        api = PeopleApi(session.api.client)
        found = await (api.shared(team) if change is None else api.change_shared(team, change))
        if session.out.as_json:
            session.out.json(found)
        elif change is not None:
            session.out.done(f"changed for the services of {team}, with their next deployments")
        else:
            rows = [[one.name, " ".join(one.scopes), rendering.age(one.updated_at)]
                    for one in found]  # fmt: skip
            session.out.table(["name", "for", "set"], rows)

    run(act, as_json=as_json)


@teams.command()
def members(team: Team, as_json: Json = False) -> None:
    """List who is in a team."""

    async def act(session: Session) -> None:
        from . import rendering
        from .people_api import PeopleApi

        found = await PeopleApi(session.api.client).members(team)
        if session.out.as_json:
            session.out.json(found)
            return
        rows = [
            [one.id, one.name, one.email or "", one.role, rendering.age(one.joined_at)]
            for one in found
        ]
        session.out.table(["id", "name", "e-mail", "role", "since"], rows)

    run(act, as_json=as_json)


@teams.command()
def add(team: Team, user: User, role: Role = "member", as_json: Json = False) -> None:
    """Take somebody who has an account into a team."""

    async def act(session: Session) -> None:
        from helvetia.plugins.api.people import NewMember

        from .api import validated
        from .people_api import PeopleApi

        values = {"user": user, "role": role}
        wanted = validated(NewMember, values, names={"user": "USER", "role": "--role"})
        made = await PeopleApi(session.api.client).add_member(team, wanted)
        session.out.done(f"{made.name} is {made.role} of {team}")
        if session.out.as_json:
            session.out.json(made)

    run(act, as_json=as_json)


@teams.command()
def role(
    team: Team,
    user: User,
    role: Annotated[str, typer.Argument(metavar="ROLE", help="viewer, member, admin or owner.")],
    as_json: Json = False,
) -> None:
    """Give a member another role. The last owner stays."""

    async def act(session: Session) -> None:
        from helvetia.plugins.api.people import RoleChange

        from .api import validated
        from .people_api import PeopleApi

        wanted = validated(RoleChange, {"role": role}, names={"role": "ROLE"})
        changed = await PeopleApi(session.api.client).change_role(team, user, wanted)
        session.out.done(f"{changed.name} is {changed.role} of {team}")
        if session.out.as_json:
            session.out.json(changed)

    run(act, as_json=as_json)


@teams.command()
def remove(team: Team, user: User, as_json: Json = False) -> None:
    """Take somebody out of a team. The last owner stays."""

    async def act(session: Session) -> None:
        from .people_api import PeopleApi

        await PeopleApi(session.api.client).remove_member(team, user)
        session.out.done(f"{user} is not in {team} any more")
        if session.out.as_json:
            session.out.json({"removed": user})

    run(act, as_json=as_json)


@teams.command()
def invite(team: Team, role: Role = "member", as_json: Json = False) -> None:
    """Make a link by which one person comes in within a week. It is printed this once."""

    async def act(session: Session) -> None:
        from helvetia.plugins.api.people import NewInvitation

        from .api import validated
        from .people_api import PeopleApi

        wanted = validated(NewInvitation, {"role": role}, names={"role": "--role"})
        made = await PeopleApi(session.api.client).invite(team, wanted)
        if session.out.as_json:
            session.out.json(made)
        else:
            session.out.line(made.url or "")

    run(act, as_json=as_json)


@teams.command()
def invitations(team: Team, as_json: Json = False) -> None:
    """List the invitations that are still good."""

    async def act(session: Session) -> None:
        from .people_api import PeopleApi

        found = await PeopleApi(session.api.client).invitations(team)
        if session.out.as_json:
            session.out.json(found)
            return
        rows = [[one.id, one.role, f"{one.expires_at:%Y-%m-%d}"] for one in found]
        session.out.table(["id", "role", "until"], rows)

    run(act, as_json=as_json)


@teams.command()
def withdraw(
    team: Team,
    id: Annotated[str, typer.Argument(metavar="ID", help="From `helvetia teams invitations`.")],
    as_json: Json = False,
) -> None:
    """Make an invitation worthless, at once."""

    async def act(session: Session) -> None:
        from .people_api import PeopleApi

        await PeopleApi(session.api.client).withdraw(team, id)
        session.out.done(f"invitation {id} is withdrawn")
        if session.out.as_json:
            session.out.json({"withdrawn": id})

    run(act, as_json=as_json)
