"""`helvetia env` and `helvetia domains`: a service, then what to do with what it has."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from .running import CHANGE, Json, Service, run

if TYPE_CHECKING:
    from helvetia.plugins.api import schemas

    from .session import Session

app = typer.Typer()

_ENV_EXAMPLES = """Examples:

  helvetia env web                                 list the names
  helvetia env web set GREETING=hello DEBUG=0
  helvetia env web set --from-file .env --restart  `-` is standard input
  helvetia env web set --for run API_KEY=...       instances get it, builds do not
  helvetia env web scope --for build,run,preview GREETING
  helvetia env web unset DEBUG
  helvetia env web diff                            what the next deployment changes
  helvetia env web export > .env.example           the names, to be filled in

Values are kept encrypted and never shown again. They take effect with the next
deployment: `helvetia restart web`, or --restart. Previews of pull requests get
only what is for `preview`."""

_DOMAIN_EXAMPLES = """Examples:

  helvetia domains web
  helvetia domains web add www.example.com      says how to prove that it is yours
  helvetia domains web verify www.example.com   looks for the proof now
  helvetia domains web certificate www.example.com
  helvetia domains web remove www.example.com"""


@app.command(rich_help_panel=CHANGE, epilog=_ENV_EXAMPLES)
def env(
    service: Service,
    verb: Annotated[
        str | None,
        typer.Argument(metavar="set|unset|scope|diff|export", help="Nothing: list the names."),
    ] = None,
    values: Annotated[
        list[str] | None,
        typer.Argument(metavar="NAME=VALUE", help="What to set, unset or scope."),
    ] = None,
    from_file: Annotated[
        str | None, typer.Option(metavar="FILE", help="Set what is in a file of NAME=VALUE lines.")
    ] = None,
    wanted: Annotated[
        str | None,
        typer.Option("--for", metavar="SCOPES", help="What gets it: build, run, preview."),
    ] = None,
    restart: Annotated[
        bool, typer.Option("--restart", help="Restart the service, so that it takes effect.")
    ] = False,
    as_json: Json = False,
) -> None:
    """List, set, unset and compare the environment variables of a service."""
    from .changing import change_of

    change = change_of(verb, values or [], from_file, wanted)

    async def act(session: Session) -> int:
        if change is None:
            show = {"diff": _tell_diff, "export": _export_names}.get(verb or "", _list_variables)
            await show(session, service)
            return 0
        changed = await session.api.change_environment(service, change)
        names = dict.fromkeys([*change.set, *change.unset, *change.scopes])
        done = {"set": "set", "unset": "unset", "scope": f"for {wanted}"}[verb or ""]
        session.out.done(f"{', '.join(names)} {done} for {service}")
        if restart:
            from .services import restart_service

            return await restart_service(session, service)
        if session.out.as_json:
            session.out.json(changed)
        note = f"  takes effect with the next deployment: helvetia restart {service}"
        session.out.note((note, "dim"))
        return 0

    run(act, as_json=as_json)


@app.command(rich_help_panel=CHANGE, epilog=_DOMAIN_EXAMPLES)
def domains(
    service: Service,
    verb: Annotated[
        str | None,
        typer.Argument(metavar="add|verify|certificate|remove", help="Nothing: list them."),
    ] = None,
    hostname: Annotated[
        str | None, typer.Argument(metavar="HOSTNAME", help="What to add, verify or remove.")
    ] = None,
    as_json: Json = False,
) -> None:
    """List, add, verify and remove the hostnames of a service."""
    from helvetia.kernel.errors import InvalidInput

    if verb not in (None, "add", "verify", "certificate", "remove"):
        raise InvalidInput(
            "domains", f"`{verb}` must be `add`, `verify`, `certificate` or `remove`"
        )
    if verb is not None and hostname is None:
        raise InvalidInput("HOSTNAME", f"what to {verb} is missing")

    async def act(session: Session) -> int:
        if verb in ("add", "verify") and hostname is not None:
            ask = session.api.add_domain if verb == "add" else session.api.verify_domain
            shown = await ask(service, hostname)
            _tell_domain(session, service, shown)
            # That it is pending is what `add` is for, and a failure of `verify`.
            return 1 if verb == "verify" and shown.state == "pending" else 0
        if verb == "certificate" and hostname is not None:
            return await _tell_certificate(session, service, hostname)
        if verb == "remove" and hostname is not None:
            await session.api.remove_domain(service, hostname)
            session.out.done(f"{service} no longer answers at {hostname}")
            if session.out.as_json:
                session.out.json({"removed": hostname})
        else:
            await _list_domains(session, service)
        return 0

    run(act, as_json=as_json)


def _tell_domain(session: Session, service: str, shown: schemas.Domain) -> None:
    if session.out.as_json:
        session.out.json(shown)
    elif shown.state == "verified":
        session.out.done(f"{service} answers at {shown.url}")
    else:
        why = f": {shown.reason}" if shown.reason else ""
        session.out.note(f"{shown.hostname} is pending{why}")
        _tell_proof(session, service, shown)


async def _tell_certificate(session: Session, service: str, hostname: str) -> int:
    found = await session.api.certificate(service, hostname)
    if session.out.as_json:
        session.out.json(found)
    else:
        until = f"{found.expires_at:%Y-%m-%d}" if found.expires_at else ""
        session.out.facts(
            [
                ("certificate", found.state),
                ("issuer", found.issuer),
                ("until", until),
                ("reason", found.reason),
            ]
        )
    return 0 if found.state in ("valid", "expiring") else 1


def _tell_proof(session: Session, service: str, shown: schemas.Domain) -> None:
    if shown.proof is None:
        return
    session.out.note(f"  make the DNS record  {shown.proof.record} TXT {shown.proof.value}")
    if shown.proof.file:
        session.out.note(f"  or the file          {shown.proof.file} with {shown.proof.content}")
    session.out.note(f"  then                 helvetia domains {service} verify {shown.hostname}")


async def _list_variables(session: Session, service: str) -> None:
    from . import rendering

    found = await session.api.environment(service)
    if session.out.as_json:
        session.out.json(found)
    elif not found:
        session.out.note(f"{service} has no variables; `helvetia env {service} set NAME=VALUE`")
    else:
        rows = [
            [one.name, " ".join(one.scopes), rendering.age(one.updated_at), str(one.version)]
            for one in found
        ]
        session.out.table(["name", "for", "set", "version"], rows)


async def _tell_diff(session: Session, service: str) -> None:
    found = await session.api.environment_diff(service)
    if session.out.as_json:
        session.out.json(found)
        return
    parts = (("+", found.added), ("~", found.changed), ("-", found.removed))
    rows = [[sign, name] for sign, names in parts for name in names]
    live = f"release {found.release}" if found.release else "nothing, for nothing is live yet"
    if not rows:
        session.out.note(f"the next deployment has the same variables as {live}")
        return
    session.out.note(f"against {live}: + more, ~ set again, - less")
    for sign, name in rows:
        session.out.line(f"{sign} {name}")


async def _export_names(session: Session, service: str) -> None:
    found = await session.api.environment(service)
    if session.out.as_json:
        session.out.json(found)
        return
    for one in found:
        # In comments: read back as it is, it must not empty what is set.
        session.out.line(f"# {one.name}=")


async def _list_domains(session: Session, service: str) -> None:
    found = await session.api.domains(service)
    if session.out.as_json:
        session.out.json(found)
        return
    rows = [
        [one.hostname, one.url, "own" if one.is_default else "added", one.state] for one in found
    ]
    session.out.table(["hostname", "url", "kind", "state"], rows)
    for one in found:
        _tell_proof(session, service, one)
