"""Assemble the pipeline from what is installed, and explain every choice and refusal."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from helvetia.kernel.contracts.artifact import ArtifactReference
from helvetia.kernel.contracts.base import Detection, LogSink
from helvetia.kernel.contracts.builder import Builder
from helvetia.kernel.contracts.pipeline import Stage
from helvetia.kernel.contracts.registry import Registry
from helvetia.kernel.contracts.router import Router
from helvetia.kernel.contracts.runtime import Runtime
from helvetia.kernel.contracts.source import Revision, Source, SourceAddress
from helvetia.kernel.errors import NoProvider, PluginError
from helvetia.kernel.failpoints import failpoint
from helvetia.kernel.platform import Platform
from helvetia.kernel.providers import Entry, Family, plugin_call

KERNEL_STAGES = (
    "fetch", "detect", "build", "push", "start", "probe", "activate", "drain", "retire",
)  # fmt: skip
BUILD_STAGES = ("fetch", "detect", "build", "push")


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A provider that was considered, with what it said or why it was refused."""

    provider: str
    score: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedStage:
    """Who does a stage, and why."""

    stage: str
    provider: str
    plugin: str
    reason: str
    candidates: list[Candidate] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The explained pipeline of one revision."""

    source: str
    sha: str
    ref: str
    artifact_kind: str
    settings: dict[str, str]
    stages: list[PlannedStage]
    generated: dict[str, str]

    def provider(self, stage: str) -> str:
        """Return the name of the provider of a stage."""
        return next(planned.provider for planned in self.stages if planned.stage == stage)


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """What the planner decided about a checkout."""

    builder: Entry[Builder]
    kind: str
    registry: Entry[Registry]
    runtime: Entry[Runtime]
    settings: dict[str, str]
    generated: dict[str, str]
    reasons: dict[str, str]
    candidates: list[Candidate]


def choose_source(
    platform: Platform, url: str, pins: Mapping[str, str]
) -> tuple[Entry[Source], list[Candidate]]:
    """Return the source that claims the address best.

    Raises:
        NoProvider: none does; the message says what each said.
    """
    sources = platform.providers.sources
    if pin := pins.get("source"):
        return sources.get(pin), []
    said: list[tuple[Detection, Entry[Source]]] = []
    for entry in sources.all():
        try:
            said.append((entry.provider.claims(url), entry))
        except Exception as error:
            said.append((Detection(score=0, reason=f"failed: {error}"), entry))
    candidates = [
        Candidate(provider=entry.name, score=claim.score, reason=claim.reason)
        for claim, entry in said
    ]
    best = max(said, key=lambda pair: pair[0].score, default=None)
    if best is None or best[0].score <= 0:
        raise NoProvider(
            f"no installed source knows {url}: {_told(candidates)}",
            hint="give a git URL or a folder",
        )
    return best[1], candidates


async def choose(
    platform: Platform,
    checkout: Path,
    *,
    service_type: str,
    settings: Mapping[str, Any],
    former: str = "",
) -> Choice:
    """Choose the builder for a checkout, and the registry and runtime for what it makes.

    Args:
        checkout: the fetched files.
        service_type: `auto`, or the builder's type a person named.
        settings: the service's. Its `providers` are pins, family to provider name; its options of
            the `builder` win over detection.
        former: the builder of the live release. An outage does not hand its service over to
            another one, only a person does.

    Raises:
        NoProvider: nothing fits; the message says why for each.
    """
    pins, options = settings.get("providers") or {}, settings.get("builder") or {}
    volumes, replicas = settings.get("volumes") or {}, settings.get("replicas", 1)
    builders = platform.providers.builders
    detections = [(entry, await _detect(builders, entry, checkout)) for entry in builders.all()]
    named = pins.get("builder")
    if named is not None:
        builders.get(named)
    elif service_type != "auto":
        named = next(
            (e.name for e in builders.all() if e.provider.service_type == service_type), None
        )
        if named is None:
            types = ", ".join(sorted(e.provider.service_type for e in builders.all())) or "none"
            raise NoProvider(
                f"no installed builder makes the type `{service_type}` (there are: auto, {types})"
            )
    for entry in builders.all():
        if named is None and entry.name == former and not (await builders.check(entry)).ok:
            raise _not_now(former, (await builders.check(entry)).reason)
    candidates: list[Candidate] = []
    for entry, detection in sorted(detections, key=lambda pair: -pair[1].score):
        if named not in (None, entry.name) or (named is None and detection.score <= 0):
            candidates.append(_candidate(entry, detection))
            continue
        match = await _negotiate(platform, entry, pins, frozenset({"volumes"} if volumes else ()))
        if isinstance(match, str):
            if named is None and entry.name == former:
                raise _not_now(former, match)
            candidates.append(_candidate(entry, Detection(score=0, reason=match)))
            continue
        kind, registry, runtime = match
        others = [_candidate(e, d) for e, d in detections if e is not entry]
        refused = {candidate.provider: candidate for candidate in candidates}
        why = detection.reason
        if named is not None:
            why = f"chosen by the service ({detection.reason})"
        start = f"runs artifacts of kind {kind}"
        if replicas > 1:
            start += f", {replicas} instances"
        if volumes:
            start += f"; the former version is stopped first, because of {', '.join(volumes)}"
        return Choice(
            builder=entry,
            kind=kind,
            registry=registry,
            runtime=runtime,
            settings={**(detection.settings or {}), **options},
            generated=detection.generated or {},
            reasons={
                "build": why,
                "push": (await platform.providers.registries.check(registry)).reason,
                "start": start,
            },
            candidates=[refused.get(other.provider, other) for other in others],
        )
    raise NoProvider(
        f"no builder fits: {_told(candidates)}",
        hint="add a Procfile or an index.html, or name a builder with --type",
    )


async def fetch(
    platform: Platform,
    source: Entry[Source],
    address: SourceAddress,
    *,
    folder: Path,
    log: LogSink,
    revision: Revision | None = None,
) -> Revision:
    """Resolve the address unless the revision is known, and put its files into the folder."""
    seconds = platform.options.stage_timeout_seconds
    if revision is None:
        async with plugin_call(source.plugin, f"{source.name}.resolve", seconds):
            revision = await source.provider.resolve(address)
        await failpoint("fetch:resolved")
    async with plugin_call(source.plugin, f"{source.name}.checkout", seconds):
        await source.provider.checkout(address, revision, folder, log)
    return revision


async def choose_router(platform: Platform, pins: Mapping[str, str]) -> Entry[Router]:
    """Return the pinned router, or the usable one."""
    if pin := pins.get("router"):
        return platform.providers.routers.get(pin)
    return await platform.router()


def explain(
    platform: Platform,
    *,
    address: SourceAddress,
    revision: Revision,
    source: Entry[Source],
    claims: list[Candidate],
    choice: Choice,
    router: Entry[Router],
) -> Plan:
    """Write the choices down as a plan."""
    kernel = ("kernel", "kernel")
    claimed = next((c.reason for c in claims if c.provider == source.name), "chosen by the service")
    done_by = {
        "fetch": (source.name, source.plugin, claimed),
        "detect": (*kernel, "asks every builder"),
        "build": (choice.builder.name, choice.builder.plugin, choice.reasons["build"]),
        "push": (choice.registry.name, choice.registry.plugin, choice.reasons["push"]),
        "start": (choice.runtime.name, choice.runtime.plugin, choice.reasons["start"]),
        "probe": (*kernel, "checks from outside that the new version is healthy"),
        "activate": (router.name, router.plugin, "switches the route and confirms it"),
        "drain": (choice.runtime.name, choice.runtime.plugin, "waits for requests in flight"),
        "retire": (choice.runtime.name, choice.runtime.plugin, "stops the former version"),
    }
    candidates = {
        "fetch": [c for c in claims if c.provider != source.name],
        "build": choice.candidates,
    }
    stages: list[PlannedStage] = []
    for name in stage_order(platform, KERNEL_STAGES):
        if name in done_by:
            provider, plugin, reason = done_by[name]
        else:
            provider, reason = name, "added by a plugin, when the artifact needs it"
            plugin = next(p for p, stage in platform.providers.stages if stage.name == name)
        stages.append(
            PlannedStage(
                stage=name,
                provider=provider,
                plugin=plugin,
                reason=reason,
                candidates=candidates.get(name, []),
            )
        )
    return Plan(
        source=address.url,
        sha=revision.sha,
        ref=revision.ref,
        artifact_kind=choice.kind,
        settings=choice.settings,
        stages=stages,
        generated=choice.generated,
    )


def stage_order(platform: Platform, kernel_stages: tuple[str, ...]) -> list[str]:
    """Return kernel stages with the stages of plugins behind the ones they follow."""
    order = list(kernel_stages)
    for _, stage in platform.providers.stages:
        if stage.after in order and stage.name not in order:
            order.insert(order.index(stage.after) + 1, stage.name)
    return order


def plugin_stage(platform: Platform, name: str) -> tuple[str, Stage] | None:
    """Return a stage of a plugin with the plugin's name."""
    return next((pair for pair in platform.providers.stages if pair[1].name == name), None)


def stage_applies(stage: Stage, artifact: ArtifactReference | None) -> Detection:
    """Ask a plugin's stage whether it is needed; a failing answer means that it is not."""
    try:
        return stage.applies(artifact)
    except Exception as error:
        return Detection(score=0, reason=f"applies failed: {error}")


async def _detect(builders: Family[Builder], entry: Entry[Builder], checkout: Path) -> Detection:
    check = await builders.check(entry)
    if not check.ok:
        return Detection(score=0, reason=f"not usable here: {check.reason}")
    try:
        async with plugin_call(entry.plugin, f"{entry.name}.detect", 30):
            return await entry.provider.detect(checkout)
    except PluginError as error:
        return Detection(score=0, reason=error.message)


async def _negotiate(
    platform: Platform, builder: Entry[Builder], pins: Mapping[str, str], needs: frozenset[str]
) -> tuple[str, Entry[Registry], Entry[Runtime]] | str:
    """Find an artifact kind that the builder makes, a registry keeps and a runtime runs."""
    refusals: list[str] = []
    for kind in builder.provider.produces:
        registry = await _fitting(platform.providers.registries, pins.get("registry"), kind)
        runtime = await _fitting(platform.providers.runtimes, pins.get("runtime"), kind, needs)
        if isinstance(registry, str) or isinstance(runtime, str):
            refusals += [text for text in (registry, runtime) if isinstance(text, str)]
            continue
        return kind, registry, runtime
    return f"makes {', '.join(builder.provider.produces)}, but {'; '.join(refusals)}"


def _not_now(name: str, why: str) -> NoProvider:
    return NoProvider(
        f"the builder {name} made the live version, but now it cannot: {why}",
        hint="deploy again when it can, or name another one with --type",
    )


async def _fitting(
    family: Family[Any], pin: str | None, kind: str, needs: frozenset[str] = frozenset()
) -> Entry[Any] | str:
    entries = [family.get(pin)] if pin else family.all()
    refusals: list[str] = []
    for entry in entries:
        if kind not in entry.provider.accepts:
            refusals.append(f"{entry.name} takes {', '.join(sorted(entry.provider.accepts))}")
            continue
        if missing := needs - entry.provider.capabilities:
            refusals.append(f"{entry.name} has no {', '.join(sorted(missing))}")
            continue
        check = await family.check(entry)
        if check.ok:
            return entry
        refusals.append(f"{entry.name} is not usable here: {check.reason}")
    return f"no {family.name} takes {kind} ({'; '.join(refusals) or 'none is installed'})"


def _candidate(entry: Entry[Builder], detection: Detection) -> Candidate:
    return Candidate(provider=entry.name, score=detection.score, reason=detection.reason)


def _told(candidates: list[Candidate]) -> str:
    return "; ".join(f"{c.provider}: {c.reason}" for c in candidates) or "none is installed"
