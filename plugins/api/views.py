"""From rows to what the API shows."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from helvetia.kernel import models
from helvetia.kernel.errors import HelvetiaError, NoProvider
from helvetia.kernel.platform import Platform
from helvetia.kernel.providers import plugin_call

from . import schemas

_OBSERVE_SECONDS = 5.0
Url = Callable[[str], str]


async def url_maker(platform: Platform) -> Url:
    """Return what makes an address of a hostname: the router's word, or a plain guess."""
    try:
        router = await platform.router()
    except NoProvider:
        return _plain_url
    provider = router.provider

    def url(hostname: str) -> str:
        try:
            return provider.url(hostname)
        except Exception:
            # An address is shown on every page; a plugin's mistake must not hide the rest.
            return _plain_url(hostname)

    return url


def _plain_url(hostname: str) -> str:
    return f"http://{hostname}"


async def deployments(
    platform: Platform, rows: Sequence[models.Deployment], names: dict[str, str]
) -> list[schemas.Deployment]:
    """Show deployments, in two queries however many they are.

    Args:
        names: name of the service by its id.
    """
    stages: dict[str, list[models.StageRun]] = {row.id: [] for row in rows}
    if rows:
        runs = models.StageRun.filter(deployment_id__in=list(stages)).order_by("position")
        for stage in await runs:
            stages[stage.deployment_id].append(stage)
    numbers: dict[str, int] = {}
    if release_ids := [row.release_id for row in rows if row.release_id]:
        releases = await models.Release.filter(id__in=release_ids).only("id", "number")
        numbers = {release.id: release.number for release in releases}
    url = await url_maker(platform)
    return [
        _deployment(
            row,
            stages[row.id],
            name=names[row.service_id],
            release=numbers.get(row.release_id or ""),
            url=url(f"{names[row.service_id]}.{platform.domain}"),
        )
        for row in rows
    ]


async def deployment(platform: Platform, row: models.Deployment, name: str) -> schemas.Deployment:
    """Show one deployment."""
    return (await deployments(platform, [row], {row.service_id: name}))[0]


def _deployment(
    row: models.Deployment,
    stages: Sequence[models.StageRun],
    *,
    name: str,
    release: int | None,
    url: str,
) -> schemas.Deployment:
    failed = [stage for stage in stages if stage.status is models.StageStatus.FAILED]
    return schemas.Deployment(
        id=row.id,
        number=row.number,
        service=name,
        trigger=row.trigger.value,
        status=row.status.value,
        reason=row.reason,
        reason_code=row.reason_code,
        failed_stage=failed[-1].name if failed else None,
        failed_provider=failed[-1].provider if failed else None,
        source=row.source_url,
        ref=row.source_ref,
        sha=row.sha,
        message=row.message,
        author=row.author,
        release=release,
        url=url,
        stages=[_stage(stage) for stage in stages],
        receipt=schemas.Receipt.model_validate(row.receipt),
        created_at=row.created_at,
        started_at=row.started_at,
        finished_at=row.finished_at,
    )


def _stage(row: models.StageRun) -> schemas.Stage:
    return schemas.Stage(
        name=row.name,
        provider=row.provider,
        status=row.status.value,
        reason=row.reason,
        started_at=row.started_at,
        finished_at=row.finished_at,
    )


async def instances(platform: Platform, service_id: str) -> list[schemas.Instance]:
    """Show what runs of a service, asking the runtimes at once."""
    rows = await models.Instance.filter(service_id=service_id).order_by("created_at", "id")
    numbers: dict[str, int] = {}
    if rows:
        ids = list({row.release_id for row in rows})
        releases = await models.Release.filter(id__in=ids).only("id", "number")
        numbers = {release.id: release.number for release in releases}
    return list(
        await asyncio.gather(
            *(_instance(platform, row, numbers.get(row.release_id, 0)) for row in rows)
        )
    )


async def _instance(platform: Platform, row: models.Instance, number: int) -> schemas.Instance:
    shown = schemas.Instance(
        id=row.id,
        release=number,
        status=row.status.value,
        reason="",
        restarts=0,
        address=f"{row.host}:{row.port}" if row.host else "",
        cpu_seconds=None,
        memory_bytes=None,
    )
    try:
        entry = platform.providers.runtimes.get(row.runtime)
        async with plugin_call(entry.plugin, f"{entry.name}.observe", _OBSERVE_SECONDS):
            seen = await entry.provider.observe(row.id)
            stats = await entry.provider.stats(row.id)
    except HelvetiaError as error:
        return shown.model_copy(update={"status": "unknown", "reason": error.message})
    return shown.model_copy(
        update={
            "status": seen.status.value,
            "reason": seen.reason,
            "restarts": seen.restarts,
            "cpu_seconds": stats.cpu_seconds if stats else None,
            "memory_bytes": stats.memory_bytes if stats else None,
        }
    )
