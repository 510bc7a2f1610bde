"""`helvetia logs`: what a service says, and what its builds said."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from .running import LOOK, Json, Service, run

if TYPE_CHECKING:
    from collections.abc import Sequence

    from helvetia.plugins.api.schemas import LogRecord

    from .session import Session

app = typer.Typer()

_EXAMPLES = """Examples:

  helvetia logs web                    the last 100 lines the service wrote
  helvetia logs web --follow           and what it writes from now on
  helvetia logs web --instance 7f2a    only what one instance wrote; `status` has ids
  helvetia logs web --build            the log of the newest deployment
  helvetia logs web --deployment 3f2a  the log of a certain deployment
  helvetia logs web --tail all --json  everything, one JSON record a line"""

_ALL = "all"


@app.command(rich_help_panel=LOOK, epilog=_EXAMPLES)
def logs(
    service: Service,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on with what is written from now on.")
    ] = False,
    build: Annotated[
        bool, typer.Option("--build", help="The log of the newest deployment instead.")
    ] = False,
    deployment: Annotated[
        str | None, typer.Option(metavar="ID", help="The log of this deployment instead.")
    ] = None,
    instance: Annotated[
        str | None,
        typer.Option(metavar="ID", help="Only of this instance; four digits of its id suffice."),
    ] = None,
    tail: Annotated[
        str, typer.Option("--tail", "-n", metavar="LINES", help="How many lines, or `all`.")
    ] = "100",
    times: Annotated[bool, typer.Option("--times", "-t", help="Show when, in local time.")] = False,
    as_json: Json = False,
) -> None:
    """Show the log of a service, or of one of its deployments."""
    from helvetia.kernel.errors import InvalidInput

    count = _count(tail)
    if instance is not None and (build or deployment is not None):
        raise InvalidInput("--instance", "goes with the log of a service, not of a deployment")

    async def act(session: Session) -> None:
        path = await _path(session, service, build=build, deployment=deployment)
        teller = _Teller(session, times=times, stages=build or deployment is not None)
        last = await _show_past(session, path, count, teller, instance)
        if follow and last is not None:
            from .following import follow as go_on

            async for piece in go_on(session.api, path, after=last, instance=instance):
                teller.tell(piece.records, piece.skipped)

    run(act, as_json=as_json)


class _Teller:
    """Prints records; remembers the stage to say when another one begins."""

    def __init__(self, session: Session, *, times: bool, stages: bool) -> None:
        self._out = session.out
        self._times = times
        self._stages = stages
        self._stage = ""

    def tell(self, records: Sequence[LogRecord], skipped: int) -> None:
        if skipped:
            self._out.note((f"… {skipped:,} lines left out", "dim"))
        for record in records:
            if self._out.as_json:
                self._out.json_line(record)
                continue
            if self._stages and record.stage != self._stage:
                self._stage = record.stage
                self._out.note((f"▸ {record.stage}", "dim"))
            self._out.log_line(
                f"{_clock(record.time)} {record.text}" if self._times else record.text
            )


async def _path(session: Session, service: str, *, build: bool, deployment: str | None) -> str:
    from helvetia.kernel.errors import NotFound

    from .api import deployment_path, service_path

    if deployment is not None:
        return deployment_path(deployment)
    if not build:
        return service_path(service)
    newest = await session.api.deployments(service, limit=1)
    if not newest:
        raise NotFound(f"{service} has no deployment yet")
    return deployment_path(newest[0].id)


async def _show_past(
    session: Session, path: str, count: int | None, teller: _Teller, instance: str | None
) -> int | None:
    """Print the last lines; return the seq to follow from, None if nothing will follow."""
    if count is not None:
        page = await session.api.logs(path, tail=count, instance=instance)
        # What lies before the last lines was not asked for: it is not missing.
        teller.tell(page.records, skipped=0)
        return None if page.ended else page.last
    after = 0
    while True:
        page = await session.api.logs(path, after=after, instance=instance)
        teller.tell(page.records, page.skipped)
        after = max(after, page.last)
        if page.ended or not page.records:
            return None if page.ended else after


def _count(text: str) -> int | None:
    from helvetia.kernel.errors import InvalidInput

    if text == _ALL:
        return None
    if not text.isdecimal():
        raise InvalidInput("--tail", f"`{text}` is not a number of lines or `{_ALL}`")
    return int(text)


def _clock(seconds: float) -> str:
    from datetime import UTC, datetime

    moment = datetime.fromtimestamp(seconds, UTC).astimezone()
    return moment.strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]
