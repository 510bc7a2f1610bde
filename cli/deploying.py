"""`helvetia deploy` and `helvetia plan`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from .running import DEPLOY, Json, NoWait, run

if TYPE_CHECKING:
    from helvetia.plugins.api.schemas import Plan

    from .rendering import Cell
    from .session import Session
    from .sources import Given

app = typer.Typer()

_PLAN_OPTIONS = {"ref": "--ref", "type": "--type", "service": "--service"}
_EXAMPLES = """Examples:

  helvetia deploy .
  helvetia deploy ~/shop --name shop --env DEBUG=0 --health /healthz
  helvetia deploy https://git.example.com/me/site.git --ref v2
  helvetia deploy . --set build_command='npm run build' --set output=dist
  helvetia deploy https://git.example.com/me/site.git --source-option lfs=true

Exit code: 0 live, 3 source or build failed, 4 never healthy, 5 not activated,
6 cancelled, 7 superseded by a newer deployment."""

Source = Annotated[
    str, typer.Argument(metavar="SOURCE", help="A folder, or the URL of a git repository.")
]
Ref = Annotated[
    str | None, typer.Option(metavar="REF", help="Branch, tag or commit. Default: HEAD.")
]
Type = Annotated[
    str | None, typer.Option(help="auto, docker, static, procfile, or an installed builder's.")
]
SourceOptions = Annotated[
    list[str] | None,
    typer.Option(
        "--source-option",
        metavar="OPTION=VALUE",
        help="Option of the source, as lfs=true or submodules=true; empty unsets.",
    ),
]
Upload = Annotated[
    bool, typer.Option("--upload", help="Send the folder as it is, uncommitted files too.")
]


@app.command(rich_help_panel=DEPLOY, epilog=_EXAMPLES)
def deploy(
    source: Source,
    name: Annotated[
        str | None, typer.Option(help="Name of the service. Default: the source's.")
    ] = None,
    ref: Annotated[
        str | None,
        typer.Option(
            metavar="REF", help="Branch, tag or commit, from now on. Default: the last one, HEAD."
        ),
    ] = None,
    type: Type = None,
    env: Annotated[
        list[str] | None,
        typer.Option("--env", "-e", metavar="NAME=VALUE", help="Variable of the service."),
    ] = None,
    options: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="OPTION=VALUE", help="Option of the builder; empty unsets."),
    ] = None,
    source_options: SourceOptions = None,
    health: Annotated[
        str | None,
        typer.Option(metavar="PATH", help="HTTP path that must answer, or `none`."),
    ] = None,
    grace: Annotated[
        float | None,
        typer.Option(
            metavar="SECONDS",
            min=0.1,
            max=1800,
            help="How long a new version may take to be healthy. Default: 60.",
        ),
    ] = None,
    worker: Annotated[
        list[str] | None,
        typer.Option(metavar="LABEL", help="Label that the worker must have, or `none`; kept."),
    ] = None,
    replicas: Annotated[
        int | None,
        typer.Option(metavar="NUMBER", min=1, max=64, help="Instances side by side; kept."),
    ] = None,
    volume: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=PATH", help="Folder that outlives releases; empty unsets."),
    ] = None,
    team: Annotated[
        str | None, typer.Option(metavar="TEAM", help="Team of a new service. Default: yours.")
    ] = None,
    upload: Upload = False,
    no_wait: NoWait = False,
    as_json: Json = False,
) -> None:
    """Bring a folder or a git repository live, and wait until it is.

    The service is made if it does not exist yet. From a folder that is a git repository the
    commit at HEAD is deployed; any other folder is sent as it is. The version before keeps
    answering until the new one is healthy.
    """
    from .naming import pairs, variables

    environment = variables(env or (), option="--env")
    builder = pairs(options or (), option="--set")
    fetching = pairs(source_options or (), option="--source-option")
    volumes = pairs(volume or (), option="--volume")

    async def act(session: Session) -> int:
        from helvetia.plugins.api.schemas import NewDeployment

        from .configuring import Wanted, bring_up_to_date
        from .waiting import random_key, tell_queued, watch

        given = _identify(session, source, name=name, upload=upload)
        wanted = Wanted(
            ref=ref,
            type=type,
            environment=environment,
            builder=builder,
            source=fetching,
            health=health,
            grace=grace,
            worker_labels=worker or [],
            replicas=replicas,
            volumes=volumes,
            team=team,
        )
        deployed = await bring_up_to_date(session, given, wanted)
        made = await session.api.deploy(given.name, NewDeployment(), key=random_key())
        if no_wait:
            return tell_queued(session, made)
        headline = f"deployment {made.number} of {given.label}"
        if deployed is None:
            return await watch(session, made, headline=headline, commit=given.commit)
        return await watch(session, made, headline=f"{headline} at {deployed}")

    run(act, as_json=as_json)


@app.command(rich_help_panel=DEPLOY)
def plan(
    source: Source,
    ref: Ref = None,
    type: Type = None,
    source_options: SourceOptions = None,
    service: Annotated[
        str | None,
        typer.Option(
            metavar="SERVICE",
            help="Service whose credentials and options of the source are used.",
        ),
    ] = None,
    upload: Upload = False,
    dockerfile: Annotated[
        bool,
        typer.Option(
            "--dockerfile", help="Print the Dockerfile that would be written, and no more."
        ),
    ] = False,
    as_json: Json = False,
) -> None:
    """Show which plugin would do each stage, and why; changes nothing."""
    from .naming import pairs

    fetching = pairs(source_options or (), option="--source-option")

    async def act(session: Session) -> None:
        from helvetia.plugins.api.inputs import ServiceSettings
        from helvetia.plugins.api.schemas import PlanRequest

        from .api import validated
        from .configuring import Wanted, changed_settings
        from .sources import make_readable

        given = _identify(session, source, name="plan", upload=upload)
        values: dict[str, object] = {"source": given.label}
        values |= {"ref": ref} if ref else {}
        wanted = type or ("docker" if dockerfile else None)
        values |= {"type": wanted} if wanted else {}
        values |= {"service": service} if service else {}
        kept = (await session.api.service(service)).settings if service else ServiceSettings()
        settings = changed_settings(ServiceSettings(source=kept.source), Wanted(source=fetching))
        request = validated(PlanRequest, values, names=_PLAN_OPTIONS)
        request.settings = settings
        request.source = await make_readable(session, given)
        with session.out.working("planning"):
            explained = await session.api.plan(request)
        if session.out.as_json:
            session.out.json(explained)
        elif dockerfile:
            _tell_dockerfile(session, explained)
        else:
            _tell_plan(session, explained)

    run(act, as_json=as_json)


def _identify(session: Session, source: str, *, name: str | None, upload: bool) -> Given:
    from .sources import identify

    given = identify(source, name=name, upload=upload, local=session.address.is_local)
    if given.warning:
        session.out.warn(given.warning)
    return given


def _tell_dockerfile(session: Session, plan: Plan) -> None:
    from helvetia.kernel.errors import NotFound

    if (text := plan.generated.get("Dockerfile")) is None:
        why = next(stage.reason for stage in plan.stages if stage.stage == "build")
        raise NotFound(f"no Dockerfile would be written: {why}")
    for line in text.splitlines():
        session.out.line(line)


def _tell_plan(session: Session, plan: Plan) -> None:
    from .rendering import short, source

    rows: list[list[Cell]] = []
    for stage in plan.stages:
        rows.append([(stage.stage, "bold"), stage.provider, stage.plugin, stage.reason])
        for other in stage.candidates:
            reason = f"not taken (score {other.score}): {other.reason}"
            rows.append([" ", (other.provider, "dim"), " ", (reason, "dim")])
    session.out.facts(
        [
            ("source", source(plan.source)),
            ("commit", f"{short(plan.sha)} {plan.ref}".strip()),
            ("artifact", plan.artifact_kind),
            *((f"{name} =", value) for name, value in plan.settings.items()),
        ]
    )
    session.out.line("")
    session.out.table(["stage", "provider", "plugin", "why"], rows)
