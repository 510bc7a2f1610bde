"""Commands that look: `services`, `status`, `deployments`, `releases`, `events`, `open`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from .running import LOOK, Json, Service, run

if TYPE_CHECKING:
    from helvetia.plugins.api import schemas

    from .rendering import Cell
    from .session import Session

app = typer.Typer()

Limit = Annotated[int, typer.Option("--limit", "-n", min=1, max=10000, help="How many to show.")]


@app.command(rich_help_panel=LOOK)
def services(as_json: Json = False) -> None:
    """List the services with their status and URL."""

    async def act(session: Session) -> None:
        from . import rendering

        found = await session.api.services()
        if session.out.as_json:
            session.out.json(found)
        elif not found:
            session.out.note("no services yet; make one with `helvetia deploy FOLDER`")
        else:
            rows: list[list[Cell]] = [
                [
                    one.name,
                    rendering.styled(one.status),
                    str(one.release or ""),
                    str(one.live or ""),
                    one.url,
                    rendering.commit(one.sha, one.message),
                    one.status_reason or " ",
                ]
                for one in found
            ]
            headers = ["name", "status", "release", "instances", "url", "commit", "reason"]
            session.out.table(headers, rows)

    run(act, as_json=as_json)


@app.command(rich_help_panel=LOOK)
def status(service: Service, as_json: Json = False) -> None:
    """Show what a service is and what runs of it now."""

    async def act(session: Session) -> None:
        detail = await session.api.service(service)
        if session.out.as_json:
            session.out.json(detail)
        else:
            _tell_status(session, detail)

    run(act, as_json=as_json)


@app.command(rich_help_panel=LOOK)
def deployments(service: Service, limit: Limit = 20, as_json: Json = False) -> None:
    """List the deployments of a service, newest first."""

    async def act(session: Session) -> None:
        from . import rendering

        found = await session.api.deployments(service, limit=limit)
        if session.out.as_json:
            session.out.json(found)
            return
        rows: list[list[Cell]] = [
            [
                str(one.number),
                rendering.styled(one.status),
                one.id[:8],
                one.trigger,
                rendering.age(one.created_at),
                rendering.between(one.started_at, one.finished_at),
                rendering.commit(one.sha, one.message),
                (one.reason if one.status == "FAILED" else " ", "red"),
            ]
            for one in found
        ]
        headers = ["number", "status", "id", "trigger", "begun", "took", "commit", "reason"]
        session.out.table(headers, rows)

    run(act, as_json=as_json)


@app.command(rich_help_panel=LOOK)
def releases(service: Service, as_json: Json = False) -> None:
    """List the releases of a service: what `rollback` can bring back."""

    async def act(session: Session) -> None:
        from . import rendering

        found = await session.api.releases(service)
        if session.out.as_json:
            session.out.json(found)
            return
        rows: list[list[Cell]] = [
            [
                str(one.number),
                ("live", "green") if one.is_live else " ",
                rendering.age(one.created_at),
                one.deployment_id[:8],
                one.digest.removeprefix("sha256:")[:12],
                f"version {one.environment_version}",
                rendering.commit(one.sha, one.message),
            ]
            for one in found
        ]
        headers = ["release", "live", "made", "deployment", "artifact", "environment", "commit"]
        session.out.table(headers, rows)

    run(act, as_json=as_json)


@app.command(rich_help_panel=LOOK)
def events(service: Service, limit: Limit = 50, as_json: Json = False) -> None:
    """Show what happened to a service and who did it, newest first."""

    async def act(session: Session) -> None:
        found = await session.api.events(service, limit=limit)
        if session.out.as_json:
            session.out.json(found)
            return
        rows: list[list[Cell]] = [
            [
                one.time.astimezone().strftime("%Y-%m-%d %H:%M:%S"),
                one.kind,
                one.actor,
                " ".join(f"{name}={value}" for name, value in one.data.items() if value) or " ",
            ]
            for one in found
        ]
        session.out.table(["time", "event", "by", "data"], rows)

    run(act, as_json=as_json)


@app.command("open", rich_help_panel=LOOK)
def open_(service: Service, as_json: Json = False) -> None:
    """Print the URL of a service."""

    async def act(session: Session) -> None:
        detail = await session.api.service(service)
        if session.out.as_json:
            session.out.json({"url": detail.url})
        else:
            session.out.line(detail.url)

    run(act, as_json=as_json)


def _tell_status(session: Session, detail: schemas.ServiceDetail) -> None:
    from . import rendering

    health = detail.settings.health
    status, colour = rendering.styled(detail.status)
    live = f"{detail.release}  {rendering.commit(detail.sha, detail.message)}"
    source = rendering.source(detail.source) + (f" ({detail.ref})" if detail.ref else "")
    session.out.facts(
        [
            ("name", (detail.name, "bold")),
            ("status", (status, colour)),
            ("reason", detail.status_reason),
            ("url", detail.url),
            ("domains", ", ".join(detail.domains)),
            ("release", live if detail.release else ""),
            ("type", detail.type),
            ("source", source),
            ("health", health.path or "TCP" if health else ""),
            (
                "volumes",
                ", ".join(f"{name} {path}" for name, path in detail.settings.volumes.items()),
            ),
            ("deployment", (detail.deployment_id or "")[:8]),
        ]
    )
    if not detail.instances:
        return
    rows: list[list[Cell]] = [
        [
            one.id,
            rendering.styled(one.status),
            str(one.release),
            one.address,
            str(one.restarts),
            rendering.duration(one.cpu_seconds) if one.cpu_seconds is not None else "",
            rendering.size(one.memory_bytes) if one.memory_bytes is not None else "",
            one.reason,
        ]
        for one in detail.instances
    ]
    session.out.line("")
    headers = ["instance", "status", "release", "address", "restarts", "cpu", "memory", "reason"]
    session.out.table(headers, rows)
