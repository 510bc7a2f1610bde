"""`helvetia credentials`: what a private repository is read with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from .running import CHANGE, Json, Service, run

if TYPE_CHECKING:
    from helvetia.plugins.sources.git.credentials.shapes import Credentials, NewCredentials

    from .session import Session

app = typer.Typer()

_EXAMPLES = """Examples:

  helvetia credentials web                                   what it is read with
  helvetia credentials web give --username ada               asks for the password
  helvetia credentials web give --password-file token.txt    `-` is standard input
  helvetia credentials web give                              over ssh: makes a deploy key
  helvetia credentials web give --key-file ./deploy_key
  helvetia credentials web remove

For https it is a token or password, for ssh a key. They are kept encrypted, used for this one
repository and never shown again. Repositories at GitHub: `helvetia github connect web`."""


@app.command(rich_help_panel=CHANGE, epilog=_EXAMPLES)
def credentials(
    service: Service,
    verb: Annotated[
        str | None, typer.Argument(metavar="give|remove", help="Nothing: show them.")
    ] = None,
    username: Annotated[
        str | None, typer.Option(metavar="NAME", help="User of the host, if it asks for one.")
    ] = None,
    password_file: Annotated[
        str | None, typer.Option(metavar="FILE", help="A file with the token or password.")
    ] = None,
    key_file: Annotated[
        str | None, typer.Option(metavar="FILE", help="A file with a private key for ssh.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Show, give and remove what a private repository is read with."""
    from helvetia.kernel.errors import InvalidInput

    if verb not in (None, "give", "remove"):
        raise InvalidInput("credentials", f"`{verb}` must be `give` or `remove`")
    given = {"--username": username, "--password-file": password_file, "--key-file": key_file}
    for option, value in given.items():
        if value is not None and verb != "give":
            raise InvalidInput(option, "goes with `give`")

    async def act(session: Session) -> None:
        from .source_api import SourceApi

        api = SourceApi(session.api.client)
        if verb == "remove":
            await api.remove_credentials(service)
            session.out.done(f"{service} has no credentials any more")
            if session.out.as_json:
                session.out.json({"removed": service})
        elif verb == "give":
            source = (await api.service(service)).source
            wanted = _wanted(source, username, password_file, key_file)
            _tell(session, await api.give_credentials(service, wanted))
        else:
            _tell(session, await api.credentials(service))

    run(act, as_json=as_json)


def _wanted(
    source: str, username: str | None, password_file: str | None, key_file: str | None
) -> NewCredentials:
    """Read what is given; ask for a password that is needed and not there."""
    import sys

    from helvetia.kernel.errors import InvalidInput
    from helvetia.plugins.sources.git.credentials.shapes import NewCredentials

    from .api import validated
    from .changing import read_text

    values: dict[str, str] = {}
    if username:
        values["username"] = username
    if key_file:
        values["private_key"] = read_text(key_file, option="--key-file")
    if password_file:
        values["password"] = read_text(password_file, option="--password-file").rstrip("\r\n")
    elif not key_file and source.partition("://")[0].lower() in ("https", "http"):
        if not (sys.stdin.isatty() and sys.stderr.isatty()):
            raise InvalidInput("--password-file", "is needed where nobody can be asked")
        values["password"] = typer.prompt("Token or password", hide_input=True, err=True)
    names = {"username": "--username", "password": "--password-file", "private_key": "--key-file"}
    return validated(NewCredentials, values, names=names)


def _tell(session: Session, found: Credentials) -> None:
    if session.out.as_json:
        session.out.json(found)
        return
    used = "yes" if found.is_used else "no: the source is another repository now"
    facts = [("repository", found.repository), ("kind", found.kind), ("used", used)]
    if found.username:
        facts.append(("user", found.username))
    session.out.facts(facts)
    if found.public_key:
        session.out.note(("give this to the host as a deploy key, to read only:", "dim"))
        session.out.line(found.public_key)
