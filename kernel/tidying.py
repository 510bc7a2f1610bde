"""Keep the disk within bounds: old artifacts and uploads that nothing needs any more."""

from __future__ import annotations

import asyncio
import logging
import shutil
import time
from pathlib import Path

from .commands import kill_owned
from .errors import HelvetiaError
from .models import Deployment, DeploymentStatus, Instance, Release, Service
from .pipeline.run import owner_mark
from .platform import Platform
from .providers import plugin_call

_UPLOAD_SECONDS = 24 * 3600.0
_log = logging.getLogger(__name__)


def clear_workspaces(platform: Platform) -> None:
    """Remove the attempts that a dead process left, programs first. Only where no other works."""
    work = platform.folder("work")
    for folder in list(work.iterdir()):
        deployment_id = folder.name.partition(".")[0]
        kill_owned(owner_mark(platform, deployment_id))
    shutil.rmtree(work, ignore_errors=True)


async def collect_artifacts(platform: Platform) -> None:
    """Delete artifacts of old releases beyond the number kept for rollback."""
    keep = platform.options.keep_releases
    for service in await Service.all():
        releases = await Release.filter(service_id=service.id).order_by("-number")
        in_use = {row.release_id for row in await Instance.filter(service_id=service.id)}
        kept = {
            release.artifact["digest"]
            for position, release in enumerate(releases)
            if position < keep or release.id == service.live_release_id or release.id in in_use
        }
        # An artifact without a release may belong to a push that is under way.
        made = {release.artifact["digest"]: release for release in releases}
        for digest in set(made) - kept:
            name = made[digest].providers["registry"]
            registry = platform.providers.registries.get(name)
            try:
                async with plugin_call(registry.plugin, f"{name}.delete", 60):
                    await registry.provider.delete(service.id, digest)
            except HelvetiaError as error:
                _log.warning("%s", error)


async def collect_uploads(platform: Platform) -> None:
    """Delete uploaded archives that no service comes from, a day after they came."""
    open_now = (DeploymentStatus.QUEUED, DeploymentStatus.RUNNING)
    used = {service.source_url for service in await Service.all()}
    used |= {row.source_url for row in await Deployment.filter(status__in=open_now)}
    await asyncio.to_thread(_delete_uploads, platform.folder("uploads"), used)


def _delete_uploads(folder: Path, used: set[str]) -> None:
    for path in folder.iterdir():
        digest = path.name.partition(".")[0]
        age = time.time() - path.stat().st_mtime
        if age > _UPLOAD_SECONDS and f"upload:{digest}" not in used:
            path.unlink(missing_ok=True)
