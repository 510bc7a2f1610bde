"""`helvetia env` and `helvetia domains`: a service, then what to do with what it has."""

from __future__ import annotations

import sys
from pathlib import Path
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
  helvetia env web unset DEBUG

Values are kept encrypted and never shown again. They take effect with the next
deployment: `helvetia restart web`, or --restart."""

_DOMAIN_EXAMPLES = """Examples:

  helvetia domains web
  helvetia domains web add www.example.com      says how to prove that it is yours
  helvetia domains web verify www.example.com   looks for the proof now
  helvetia domains web remove www.example.com"""


@app.command(rich_help_panel=CHANGE, epilog=_ENV_EXAMPLES)
def env(
    service: Service,
    verb: Annotated[
        str | None, typer.Argument(metavar="set|unset", help="Nothing: list the names.")
    ] = None,
    values: Annotated[
        list[str] | None,
        typer.Argument(metavar="NAME=VALUE", help="What to set or unset."),
    ] = None,
    from_file: Annotated[
        str | None, typer.Option(metavar="FILE", help="Set what is in a file of NAME=VALUE lines.")
    ] = None,
    restart: Annotated[
        bool, typer.Option("--restart", help="Restart the service, so that it takes effect.")
    ] = False,
    as_json: Json = False,
) -> None:
    """List, set and unset the environment variables of a service."""
    added, removed = _change(verb, values or [], from_file)

    async def act(session: Session) -> int:
        if verb is None:
            await _list_variables(session, service)
            return 0
        from helvetia.plugins.api.inputs import EnvironmentChange

        changed = await session.api.change_environment(
            service, EnvironmentChange(set=added, unset=removed)
        )
        session.out.done(f"{', '.join([*added, *removed])} {verb} for {service}")
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
        str | None, typer.Argument(metavar="add|verify|remove", help="Nothing: list them.")
    ] = None,
    hostname: Annotated[
        str | None, typer.Argument(metavar="HOSTNAME", help="What to add, verify or remove.")
    ] = None,
    as_json: Json = False,
) -> None:
    """List, add, verify and remove the hostnames of a service."""
    from helvetia.kernel.errors import InvalidInput

    if verb not in (None, "add", "verify", "remove"):
        raise InvalidInput("domains", f"`{verb}` must be `add`, `verify` or `remove`")
    if verb is not None and hostname is None:
        raise InvalidInput("HOSTNAME", f"what to {verb} is missing")

    async def act(session: Session) -> int:
        if verb in ("add", "verify") and hostname is not None:
            ask = session.api.add_domain if verb == "add" else session.api.verify_domain
            shown = await ask(service, hostname)
            _tell_domain(session, service, shown)
            # That it is pending is what `add` is for, and a failure of `verify`.
            return 1 if verb == "verify" and shown.state == "pending" else 0
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


def _tell_proof(session: Session, service: str, shown: schemas.Domain) -> None:
    if shown.proof is None:
        return
    session.out.note(f"  make the DNS record  {shown.proof.record} TXT {shown.proof.value}")
    session.out.note(f"  or the file          {shown.proof.file} with {shown.proof.content}")
    session.out.note(f"  then                 helvetia domains {service} verify {shown.hostname}")


def _change(
    verb: str | None, values: list[str], from_file: str | None
) -> tuple[dict[str, str], list[str]]:
    """Return what to set and what to unset.

    Raises:
        InvalidInput: the words do not make sense together.
    """
    from helvetia.kernel.errors import InvalidInput

    from .dotenv import parse_dotenv
    from .naming import check_variable, variables

    if from_file is not None and verb != "set":
        raise InvalidInput("--from-file", "goes with `set`: helvetia env SERVICE set --from-file")
    if verb is None:
        return {}, []
    if verb == "unset":
        for name in values:
            check_variable(name, option="unset")
        removed = list(dict.fromkeys(values))
        if not removed:
            raise InvalidInput("NAME", "what to unset is missing")
        return {}, removed
    if verb != "set":
        raise InvalidInput("env", f"`{verb}` must be `set` or `unset`")
    added: dict[str, str] = {}
    if from_file is not None:
        added |= parse_dotenv(_read(from_file), name=from_file)
    added |= variables(values, option="set")
    if not added:
        raise InvalidInput("NAME=VALUE", "what to set is missing")
    return added, []


def _read(file: str) -> str:
    from helvetia.kernel.errors import InvalidInput

    try:
        return sys.stdin.read() if file == "-" else Path(file).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise InvalidInput("--from-file", f"{file}: {reason}") from error


async def _list_variables(session: Session, service: str) -> None:
    from . import rendering

    found = await session.api.environment(service)
    if session.out.as_json:
        session.out.json(found)
    elif not found:
        session.out.note(f"{service} has no variables; `helvetia env {service} set NAME=VALUE`")
    else:
        rows = [[one.name, rendering.age(one.updated_at), str(one.version)] for one in found]
        session.out.table(["name", "set", "version"], rows)


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
