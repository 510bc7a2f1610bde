"""`helvetia workers` and `helvetia queue`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from .running import PLATFORM, Json, run

if TYPE_CHECKING:
    from .rendering import Cell
    from .session import Session

app = typer.Typer()

_WORKERS = """A worker is a `helvetia worker` or a `helvetia up`. Its labels are set where it runs:

  HELVETIA_WORKER_LABELS=build,region=eu HELVETIA_WORKERS=4 helvetia worker

A service demands labels with `helvetia deploy SOURCE --worker region=eu`."""


@app.command(rich_help_panel=PLATFORM, epilog=_WORKERS)
def workers(as_json: Json = False) -> None:
    """List the workers with their labels and what they run; for operators."""

    async def act(session: Session) -> None:
        from . import rendering

        found = await session.api.workers()
        if session.out.as_json:
            session.out.json(found)
            return
        if not found:
            session.out.note("no worker is there; start one with `helvetia worker`")
            return
        rows: list[list[Cell]] = [
            [
                one.name,
                rendering.styled(one.status),
                one.host,
                one.version,
                ",".join(one.labels),
                f"{len(one.running)} of {one.concurrency}",
                ", ".join(f"{job.service}#{job.number}" for job in one.running),
                rendering.age(one.seen_at),
            ]
            for one in found
        ]
        headers = ["worker", "status", "host", "version", "labels", "busy", "runs", "seen"]
        session.out.table(headers, rows)

    run(act, as_json=as_json)


@app.command(rich_help_panel=PLATFORM)
def queue(as_json: Json = False) -> None:
    """Show the deployments that wait for a worker, oldest first; for operators."""

    async def act(session: Session) -> None:
        from . import rendering

        found = await session.api.queue()
        if session.out.as_json:
            session.out.json(found)
            return
        waiting = f"{found.waiting} waiting" if found.waiting else "nothing waits"
        session.out.note(f"{waiting}, {found.running} running")
        if not found.broker_ok:
            session.out.warn(found.broker_reason)
        rows: list[list[Cell]] = [
            [
                one.service,
                str(one.number),
                one.id[:8],
                rendering.age(one.created_at),
                ",".join(one.labels),
                (one.reason or " ", "red"),
            ]
            for one in found.next
        ]
        if rows:
            headers = ["service", "number", "id", "asked", "labels", "reason"]
            session.out.table(headers, rows)
        if found.waiting > len(rows):
            session.out.note(f"and {found.waiting - len(rows)} more")

    run(act, as_json=as_json)
