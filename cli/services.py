"""Commands that change a service: stop, start, restart, rollback, cancel, delete."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from .running import CHANGE, DEPLOY, Json, NoWait, Service, Yes, ask_for_name, run

if TYPE_CHECKING:
    from helvetia.plugins.api.schemas import NewDeployment, ServiceDetail

    from .session import Session

app = typer.Typer()

_ROLLBACK_EXAMPLES = """Examples:

  helvetia rollback web            the release before the live one
  helvetia releases web            which ones there are
  helvetia rollback web --to 4     a certain one"""


@app.command(rich_help_panel=CHANGE)
def stop(service: Service, no_wait: NoWait = False, as_json: Json = False) -> None:
    """Stop a service; `start` brings it back."""

    async def act(session: Session) -> None:
        from .settling import until_stopped

        found = await session.api.stop(service)
        if not no_wait:
            found = await until_stopped(session, found)
        session.out.done(f"{found.name} is stopped" if not no_wait else f"{found.name} is stopping")
        if session.out.as_json:
            session.out.json(found)

    run(act, as_json=as_json)


@app.command(rich_help_panel=CHANGE)
def start(service: Service, no_wait: NoWait = False, as_json: Json = False) -> None:
    """Start a stopped service with its newest release, and wait until it is live."""

    async def act(session: Session) -> int:
        from .waiting import tell_queued, watch

        made = await session.api.start(service)
        if no_wait:
            return tell_queued(session, made)
        return await watch(session, made, headline=f"deployment {made.number} (start)")

    run(act, as_json=as_json)


@app.command(rich_help_panel=CHANGE)
def restart(service: Service, no_wait: NoWait = False, as_json: Json = False) -> None:
    """Run the live release anew with the present variables, and wait until it is live.

    Nothing is built, and the instances before keep answering until the new ones are healthy.
    """

    async def act(session: Session) -> int:
        return await restart_service(session, service, no_wait=no_wait)

    run(act, as_json=as_json)


@app.command(rich_help_panel=DEPLOY, epilog=_ROLLBACK_EXAMPLES)
def rollback(
    service: Service,
    to: Annotated[
        int | None, typer.Option(metavar="RELEASE", min=1, help="Number of the release.")
    ] = None,
    no_wait: NoWait = False,
    as_json: Json = False,
) -> None:
    """Bring an earlier release back with the configuration it had; nothing is built."""

    async def act(session: Session) -> int:
        from helvetia.plugins.api.schemas import NewDeployment

        wanted = NewDeployment(action="rollback")
        if to is not None:
            wanted = NewDeployment(action="rollback", release=to)
        what = f"rollback to release {to}" if to else "rollback"
        return await _deploy(session, service, wanted, what=what, no_wait=no_wait)

    run(act, as_json=as_json)


@app.command(rich_help_panel=DEPLOY)
def cancel(
    deployment: Annotated[str, typer.Argument(metavar="DEPLOYMENT", help="Id, or its beginning.")],
    as_json: Json = False,
) -> None:
    """Cancel a deployment that is queued or running."""

    async def act(session: Session) -> int:
        from helvetia.kernel.errors import ExitCode

        from .settling import until_ended

        ended = await until_ended(session, await session.api.cancel(deployment))
        if session.out.as_json:
            session.out.json(ended)
        what = f"deployment {ended.number} of {ended.service}"
        if ended.status == "CANCELLED":
            session.out.done(f"{what} is cancelled")
            return ExitCode.OK
        session.out.warn(f"{what} could not be cancelled, it is {ended.status}")
        return ExitCode.ERROR

    run(act, as_json=as_json)


@app.command(rich_help_panel=CHANGE)
def delete(service: Service, yes: Yes = False, as_json: Json = False) -> None:
    """Delete a service with its releases, variables, volumes and logs; wait until it is gone."""

    async def act(session: Session) -> None:
        from .settling import until_gone

        found = await session.api.service(service)
        if not yes:
            _ask(found)
        await session.api.delete_service(found.id)
        await until_gone(session, found)
        volumes = f" with its volumes: {', '.join(found.settings.volumes)}"
        session.out.done(f"{found.name} is deleted{volumes if found.settings.volumes else ''}")
        if session.out.as_json:
            session.out.json({"deleted": found.name})

    run(act, as_json=as_json)


async def restart_service(session: Session, service: str, *, no_wait: bool = False) -> int:
    """Run the live release anew and return the exit code."""
    from helvetia.plugins.api.schemas import NewDeployment

    wanted = NewDeployment(action="restart")
    return await _deploy(session, service, wanted, what="restart", no_wait=no_wait)


async def _deploy(
    session: Session, service: str, wanted: NewDeployment, *, what: str, no_wait: bool
) -> int:
    from .waiting import random_key, tell_queued, watch

    made = await session.api.deploy(service, wanted, key=random_key())
    if no_wait:
        return tell_queued(session, made)
    return await watch(session, made, headline=f"deployment {made.number} ({what})")


def _ask(service: ServiceDetail) -> None:
    what = "its releases, variables and logs"
    if service.settings.volumes:
        what += f", and all that is in its volumes ({', '.join(service.settings.volumes)})"
    ask_for_name(f"Delete {service.name} with {what}?", service.name)
