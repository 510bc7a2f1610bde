"""`helvetia audit`: who changed what, and from where."""

from __future__ import annotations

import sys
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from .running import LOOK, Json, run

if TYPE_CHECKING:
    from .session import Session

app = typer.Typer()

_EXAMPLES = """Examples:

  helvetia audit                                   what was done last, the newest first
  helvetia audit --service web --since 7d
  helvetia audit --actor anna --kind environment
  helvetia audit --since 2026-01-01 --export csv > audit.csv"""

_UNITS = {"m": "minutes", "h": "hours", "d": "days"}


class Export(StrEnum):
    """Forms of a file."""

    JSONL = "jsonl"
    CSV = "csv"


@app.command(rich_help_panel=LOOK, epilog=_EXAMPLES)
def audit(
    team: Annotated[str | None, typer.Option(help="Name or id of a team.")] = None,
    service: Annotated[
        str | None, typer.Option(help="Name of a service, or its id once it is gone.")
    ] = None,
    actor: Annotated[str | None, typer.Option(help="Name or id of who did it.")] = None,
    kind: Annotated[
        str | None, typer.Option(help="What happened, as `domain.added`, or only `domain`.")
    ] = None,
    since: Annotated[
        str | None, typer.Option(metavar="TIME", help="A date, a time, or an age as 90m, 24h, 7d.")
    ] = None,
    until: Annotated[str | None, typer.Option(metavar="TIME", help="Before this time.")] = None,
    limit: Annotated[
        int, typer.Option("--limit", "-n", min=1, max=10000, help="How many to show.")
    ] = 50,
    export: Annotated[
        Export | None, typer.Option(help="Print all that fit as JSON lines or CSV.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Show who changed what and from where, newest first."""
    filters = {
        "team": team,
        "service": service,
        "actor": actor,
        "kind": kind,
        "since": _time(since, "--since"),
        "until": _time(until, "--until"),
    }

    async def act(session: Session) -> None:
        if export is not None:
            async for part in session.api.client.download(f"/audit.{export.value}", filters):
                sys.stdout.buffer.write(part)
            return
        found = await session.api.audit(filters, limit=limit)
        if session.out.as_json:
            session.out.json(found)
            return
        rows = [
            [
                one.time.astimezone().strftime("%Y-%m-%d %H:%M:%S"),
                one.kind,
                one.actor_name or one.actor,
                one.address,
                one.service or one.team or one.service_id or one.team_id or " ",
                " ".join(f"{name}={value}" for name, value in one.data.items() if value) or " ",
            ]
            for one in found
        ]
        session.out.table(["time", "event", "by", "from", "on", "data"], rows)

    run(act, as_json=as_json)


def _time(text: str | None, option: str) -> str | None:
    """Return a time in UTC; one without a zone is of this machine's.

    Raises:
        InvalidInput: it is none.
    """
    if text is None:
        return None
    from helvetia.kernel.errors import InvalidInput

    try:
        if text[-1:] in _UNITS and text[:-1].isdecimal():
            age = timedelta(**{_UNITS[text[-1]]: int(text[:-1])})
            return (datetime.now(UTC) - age).isoformat()
        return datetime.fromisoformat(text).astimezone(UTC).isoformat()
    except (ValueError, OverflowError):
        reason = "must be a date as 2026-01-31, a time as 2026-01-31T12:00Z, or an age as 7d"
        raise InvalidInput(option, reason) from None
