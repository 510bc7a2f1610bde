"""Keep the disk within bounds: what nothing needs any more."""

from __future__ import annotations

import asyncio
import logging
import math
import shutil
from collections import Counter
from collections.abc import Collection
from pathlib import Path

from .contracts.builder import Builder
from .contracts.registry import Registry
from .contracts.source import Source
from .errors import HelvetiaError
from .models import OPEN_STATES, Deployment, Instance, Release, Service
from .pipeline.lease import LeaseLost, ServiceLease
from .pipeline.queue import once_live
from .platform import Platform
from .providers import Entry, plugin_call

_COLLECT_SECONDS = 60.0
_log = logging.getLogger(__name__)


async def keepers(platform: Platform, service_id: str) -> list[Entry[Registry]]:
    """Return the registries that may keep something of a service.

    Those that its releases name, usable or not, and every other one that can be asked: a push may
    have died before its release.
    """
    family = platform.providers.registries
    named = {
        release.providers["registry"] for release in await Release.filter(service_id=service_id)
    }
    return [e for e in family.all() if e.name in named or (await family.check(e)).ok]


async def forget(platform: Platform, service_id: str, kept: Collection[str] | None) -> None:
    """Have the runtimes give back what nobody needs of a service; see `Runtime.forget`."""
    family = platform.providers.runtimes
    named = {row.providers["runtime"] for row in await Release.filter(service_id=service_id)}
    for entry in family.all():
        # What a deleted service leaves behind nobody would ever look for again.
        if entry.name in named and (kept is None or (await family.check(entry)).ok):
            async with plugin_call(entry.plugin, f"{entry.name}.forget", _COLLECT_SECONDS):
                await entry.provider.forget(service_id, kept)


class Artifacts:
    """Deletes what no rollback needs: artifacts beyond the number kept, and those of a push
    whose worker died before it made a release of it.

    Where all together take more than their space, the oldest go first, but never those of the live
    releases, of the ones before them that a plain rollback brings back, and of what runs.
    """

    def __init__(self, platform: Platform) -> None:
        self._platform = platform
        self._looked: dict[str, tuple[int, frozenset[str]]] = {}

    async def collect(self) -> None:
        """Look at each service that had deployments since the last look and has none now, and at
        those that must give up something for others.
        """
        deploying = {row.service_id for row in await Deployment.filter(status__in=OPEN_STATES)}
        bounded = self._platform.options.artifacts_mb > 0
        kept = await self._kept() if bounded else {}
        for service in await Service.all():
            seen = (service.deployment_count, frozenset(kept.get(service.id, ())))
            if self._looked.get(service.id) == seen:
                continue
            if service.id in deploying:
                continue
            # The same content could be pushed again at this very moment, but for the lease.
            lease = await ServiceLease.acquire(
                service.id,
                owner=self._platform.worker,
                seconds=self._platform.options.lease_seconds,
            )
            if lease is None:
                continue
            try:
                async with lease.kept():
                    now = await self._kept(**({} if bounded else {"service_id": service.id}))
                    await self._collect(service.id, now.get(service.id, set()))
                self._looked[service.id] = seen
            except (HelvetiaError, LeaseLost) as error:
                _log.warning("artifacts of service %s: %s", service.name, error)

    async def _kept(self, **only: str) -> dict[str, set[str]]:
        """Return the digests that stay, by service; of one service only, if it is named."""
        live = {service.live_release_id for service in await Service.all()}
        sound = {row.id for row in await Release.filter(id__in=once_live(**only)).only("id")}
        in_use = {row.release_id for row in await Instance.filter(**only)} | live
        needed: list[Release] = []
        spare: list[Release] = []
        position: Counter[str] = Counter()
        is_behind: set[str] = set()
        for release in await Release.filter(**only).order_by("-number"):
            position[release.service_id] += 1
            is_kept = position[release.service_id] <= self._platform.options.keep_releases
            is_next = release.service_id in is_behind and release.id in sound
            if release.id in in_use or (is_kept and is_next):
                needed.append(release)
            elif is_kept:
                spare.append(release)
            if release.id in sound:
                is_behind.discard(release.service_id)
            if release.id in live:
                is_behind.add(release.service_id)
        kept: dict[str, set[str]] = {}
        room = self._platform.options.artifacts_mb * 10**6 or math.inf
        spare.sort(key=lambda one: one.created_at, reverse=True)
        for place, release in enumerate(needed + spare):
            digests = kept.setdefault(release.service_id, set())
            if release.artifact["digest"] not in digests:
                room -= release.artifact["bytes"]
                if room < 0 and place >= len(needed):
                    break
                digests.add(release.artifact["digest"])
        return kept

    async def _collect(self, service_id: str, kept: Collection[str]) -> None:
        for registry in await keepers(self._platform, service_id):
            async with plugin_call(registry.plugin, f"{registry.name}.delete", _COLLECT_SECONDS):
                for digest in set(await registry.provider.list(service_id)).difference(kept):
                    await registry.provider.delete(service_id, digest)
        await forget(self._platform, service_id, kept)


async def forget_cache(platform: Platform, service_id: str) -> int:
    """Drop what is kept for the next build of a service that has none now; return its bytes."""
    family, freed = platform.providers.builders, 0
    for entry in family.all():
        if (await family.check(entry)).ok:
            async with plugin_call(entry.plugin, f"{entry.name}.forget", _COLLECT_SECONDS):
                freed += await entry.provider.forget(service_id)
    return freed + await asyncio.to_thread(_remove, platform.folder("cache") / service_id)


def _remove(folder: Path) -> int:
    size = sum(path.lstat().st_blocks * 512 for path in folder.rglob("*"))
    shutil.rmtree(folder, ignore_errors=True)
    return size


async def collect_kept(platform: Platform) -> None:
    """Let sources and builders delete what no service and no open deployment needs."""
    services, providers = await Service.all(), platform.providers
    urls = {service.source_url for service in services}
    urls |= {row.source_url for row in await Deployment.filter(status__in=OPEN_STATES)}
    needed: list[tuple[Entry[Source] | Entry[Builder], set[str]]] = []
    needed += [(entry, urls) for entry in providers.sources.all()]
    needed += [(entry, {service.id for service in services}) for entry in providers.builders.all()]
    for entry, used in needed:
        try:
            async with plugin_call(entry.plugin, f"{entry.name}.collect", _COLLECT_SECONDS):
                await entry.provider.collect(used)
        except HelvetiaError as error:
            _log.warning("%s", error)
