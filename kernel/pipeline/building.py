"""The stages up to a release: fetch, detect, build, push, and those of plugins."""

from __future__ import annotations

import dataclasses
import functools
from pathlib import Path

from tortoise.expressions import F

from helvetia.kernel.contracts.artifact import ArtifactReference
from helvetia.kernel.contracts.builder import BuildContext
from helvetia.kernel.contracts.pipeline import StageContext
from helvetia.kernel.contracts.source import Revision, SourceAddress
from helvetia.kernel.errors import BuildFailed
from helvetia.kernel.failpoints import failpoint
from helvetia.kernel.models import Deployment, Release, Service
from helvetia.kernel.providers import plugin_call
from helvetia.programs import run_command

from .planning import choose, choose_router, choose_source, explain, fetch, plugin_stage
from .planning import stage_applies as applies
from .run import Run
from .specs import dump_reference, freeze_configuration, limits_of, load_reference


async def fetch_stage(run: Run) -> str:
    """Find the exact commit, once and for all, and check it out."""
    deployment, platform = run.deployment, run.platform
    source, _ = choose_source(platform, deployment.source_url, run.pins)
    address = _address(run)
    known = None
    if deployment.sha:
        # A former attempt found it: this one must not build another commit of the branch.
        known = Revision(
            sha=deployment.sha,
            ref=deployment.source_ref or "",
            message=deployment.message,
            author=deployment.author,
        )
    folder = run.workspace / "checkout"
    folder.mkdir(parents=True)
    run.revision = revision = await fetch(
        platform, source, address, folder=folder, log=run.log, revision=known
    )
    await failpoint("fetch:checked-out")
    async with run.lease.fenced():
        await Deployment.filter(id=deployment.id).update(
            sha=revision.sha, message=revision.message[:2000], author=revision.author[:320]
        )
    deployment.sha, deployment.message = revision.sha, revision.message
    title = revision.message.splitlines()[0] if revision.message else ""
    return f"{revision.ref or 'commit'} is {revision.short} {title}".strip()


async def detect_stage(run: Run) -> str:
    """Choose builder, registry and runtime, and write the plan down."""
    assert run.revision is not None
    platform = run.platform
    source, claims = choose_source(platform, run.deployment.source_url, run.pins)
    live = await Release.get_or_none(id=run.service.live_release_id)
    run.choice = choice = await choose(
        platform,
        run.workspace / "checkout",
        service_type=run.service.type,
        settings=run.service.settings,
        former=live.providers["builder"] if live else "",
    )
    plan = explain(
        platform,
        address=_address(run),
        revision=run.revision,
        source=source,
        claims=claims,
        choice=choice,
        router=await choose_router(platform, run.pins),
    )
    async with run.lease.fenced():
        await Deployment.filter(id=run.deployment.id).update(plan=dataclasses.asdict(plan))
    return f"{choice.builder.name}: {choice.reasons['build']}"


async def build_stage(run: Run) -> str:
    """Let the builder make the artifact."""
    assert run.choice is not None
    builder = run.choice.builder
    output = run.workspace / "output"
    output.mkdir()
    context = BuildContext(
        service_id=run.service.id,
        service_name=run.service.name,
        deployment_id=run.deployment.id,
        checkout=run.workspace / "checkout",
        output=output,
        cache=run.platform.folder(f"cache/{run.service.id}/{builder.name}"),
        settings=run.choice.settings,
        environment=run.for_build,
        limits=limits_of(run.service),
        log=run.log,
        run=functools.partial(_run_logged, run),
        kind=run.choice.kind,
    )
    async with plugin_call(
        builder.plugin, f"{builder.name}.build", run.platform.options.stage_timeout_seconds
    ):
        run.artifact = await builder.provider.build(context)
    await failpoint("build:built")
    if run.artifact.kind != run.choice.kind:
        raise BuildFailed(f"{builder.name} made {run.artifact.kind}, not {run.choice.kind}")
    return ", ".join(f"{name} {value}" for name, value in run.artifact.facts.items())


async def _run_logged(
    run: Run,
    argv: list[str],
    *,
    cwd: Path,
    environment: dict[str, str] | None = None,
    log: object = None,
) -> int:
    return await run_command(
        argv,
        cwd=cwd,
        owner=run.owner_mark,
        log=log or run.log,  # type: ignore[arg-type]
        environment=environment,
    )


async def push_stage(run: Run) -> str:
    """Keep the artifact and make the release of it: from here on nothing is built again."""
    assert run.choice is not None
    assert run.artifact is not None
    registry = run.choice.registry
    async with plugin_call(
        registry.plugin, f"{registry.name}.push", run.platform.options.stage_timeout_seconds
    ):
        reference = await registry.provider.push(run.artifact, run.service.id, run.log)
    await failpoint("push:pushed")
    router = await choose_router(run.platform, run.pins)
    await make_release(
        run,
        reference,
        providers={
            "builder": run.choice.builder.name,
            "registry": registry.name,
            "runtime": run.choice.runtime.name,
            "router": router.name,
        },
    )
    return f"{reference.digest[:19]} ({reference.bytes / 1e6:.1f} MB)"


async def make_release(
    run: Run, reference: ArtifactReference, *, providers: dict[str, str]
) -> Release:
    """Freeze the artifact with the present configuration as the deployment's release."""
    async with run.lease.fenced():
        release = await Release.get_or_none(deployment_id=run.deployment.id)
        if release is None:
            await Service.filter(id=run.service.id).update(release_count=F("release_count") + 1)
            service = await Service.get(id=run.service.id)
            release = await Release.create(
                service_id=service.id,
                number=service.release_count,
                deployment_id=run.deployment.id,
                sha=run.deployment.sha,
                message=run.deployment.message[:2000],
                artifact=dump_reference(reference),
                configuration=freeze_configuration(service, reference),
                environment_version=service.environment_version,
                providers=providers,
            )
        await Deployment.filter(id=run.deployment.id).update(release_id=release.id)
    run.release = release
    return release


async def extra_stage(run: Run, name: str) -> str | None:
    """Run a stage that a plugin added; None if the deployment does not need it."""
    found = plugin_stage(run.platform, name)
    assert found is not None
    plugin, stage = found
    reference = load_reference(run.release) if run.release else None
    needed = applies(stage, reference)
    if needed.score <= 0:
        return None
    revision = run.revision or Revision(sha=run.deployment.sha, message=run.deployment.message)
    context = StageContext(
        service_id=run.service.id,
        service_name=run.service.name,
        deployment_id=run.deployment.id,
        revision=revision,
        artifact=reference,
        log=run.log,
        run_process=functools.partial(_run_process, run),
    )
    async with plugin_call(plugin, f"stage {name}", stage.timeout_seconds):
        await stage.run(context)
    return needed.reason


async def _run_process(run: Run, process: str) -> int:
    runtime = run.runtime()
    spec = dataclasses.replace(await run.spec(f"{run.deployment.id}-{process}"), process=process)
    async with plugin_call(
        runtime.plugin, f"{runtime.name}.run", run.platform.options.stage_timeout_seconds
    ):
        return await runtime.provider.run(spec, run.log)


def _address(run: Run) -> SourceAddress:
    return SourceAddress(
        url=run.deployment.source_url,
        ref=run.deployment.source_ref,
        trusted=run.service.source_trusted,
        service_id=run.service.id,
        user_id=run.deployment.created_by or "",
        options=run.service.settings.get("source") or {},
    )
