"""The provider `engine`."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from aiodocker import Docker, DockerError

from helvetia import (
    OCI_IMAGE,
    Artifact,
    ArtifactReference,
    BuildFailed,
    Check,
    HelvetiaError,
    Kernel,
    LogSink,
    Registry,
)
from helvetia.plugins.registry.common.images import Image, read_image
from helvetia.plugins.registry.common.naming import checked_digest, checked_service
from helvetia.plugins.registry.common.progress import Progress
from helvetia.plugins.registry.common.settings import RegistrySettings
from helvetia.plugins.runtimes.docker.engine import Engine, inspect_image
from helvetia.plugins.runtimes.docker.labels import INSTALLATION, KIND, SERVICE, filters
from helvetia.plugins.runtimes.docker.settings import DockerSettings

from .archive import archive_of

_FEW = 10  # images that are looked into for layers
_KIND = "image"


class EngineRegistry(Registry):
    """Keeps images as `helvetia/<service id>:<first 12 of the image's id>`.

    They carry labels that say whose they are, which an image from a builder may not have. So
    an image of ours is never anybody else's, nor another service's, though the layers are shared.
    """

    name = "engine"
    accepts = frozenset({OCI_IMAGE})

    def __init__(self, kernel: Kernel) -> None:
        self.engine = Engine(kernel.section(DockerSettings).host)
        self._installation = kernel.installation
        self._instead = ""
        with contextlib.suppress(KeyError):
            self._instead = kernel.section(RegistrySettings).url

    async def check(self) -> Check:
        """Say whether there is an engine, and no registry to keep images in instead."""
        if self._instead:
            return Check(ok=False, reason=f"images are kept in the registry {self._instead}")
        check = await self.engine.check()
        return Check(ok=True, reason=f"keeps images in {check.reason}") if check.ok else check

    async def push(self, artifact: Artifact, service_id: str, log: LogSink) -> ArtifactReference:
        """Load the image into the engine, unless it is there."""
        checked_service(service_id)
        if artifact.kind not in self.accepts:
            raise BuildFailed(f"the registry engine keeps no artifacts of kind {artifact.kind}")
        image = await asyncio.to_thread(read_image, Path(artifact.location))
        image = image.labelled(self._labels(service_id))
        name = f"{_repository(service_id)}:{image.id.removeprefix('sha256:')[:12]}"
        try:
            async with self.engine.session(None) as docker:
                kept = await self._kept(docker, name)
                if kept is None:
                    layers = await self._layers(docker, service_id)
                    await load(docker, image, name, layers, log)
                    kept = await self._kept(docker, name)
                else:
                    log.line("the engine has the image already")
        except HelvetiaError as error:
            raise _failed(error) from error
        if kept is None:
            raise BuildFailed("the engine lost the image at once", hint="deploy again")
        return ArtifactReference(
            registry=self.name,
            digest=kept["Id"],
            bytes=kept["Size"],
            artifact=replace(artifact, location=kept["Id"]),
        )

    async def exists(self, reference: ArtifactReference) -> bool:
        """Tell whether the engine has the image."""
        if reference.artifact.location != reference.digest:
            return False
        async with self.engine.session() as docker:
            return await self._kept(docker, checked_digest(reference.digest)) is not None

    async def delete(self, service_id: str, digest: str) -> None:
        """Take our name from the image; without another one the engine removes it."""
        checked_service(service_id)
        async with self.engine.session() as docker:
            kept = await self._kept(docker, checked_digest(digest), service_id)
            if kept is None:
                return
            tags = kept.get("RepoTags") or []
            ours = [tag for tag in tags if tag.startswith(f"{_repository(service_id)}:")]
            for name in ours or ([] if tags else [digest]):
                await _remove(docker, name)

    async def list(self, service_id: str) -> Sequence[str]:
        """Return the ids of the service's images."""
        asked = self._ours(service=checked_service(service_id))
        if await asyncio.to_thread(self._is_absent):
            return []
        async with self.engine.session() as docker:
            return sorted(found["Id"] for found in await docker.images.list(filters=asked))

    def _is_absent(self) -> bool:
        """Tell whether there is no engine at all, in which nothing can be kept."""
        scheme, _, path = self.engine.host.partition("://")
        return scheme == "unix" and not os.path.exists(path)

    def _labels(self, service_id: str) -> dict[str, str]:
        return {INSTALLATION: self._installation, KIND: _KIND, SERVICE: service_id}

    def _ours(self, **labels: str) -> dict[str, Sequence[str]]:
        return {**filters(installation=self._installation, kind=_KIND, **labels)}

    async def _kept(self, docker: Docker, name: str, service_id: str = "") -> dict[str, Any] | None:
        """Return what the engine knows of an image; None if it is not ours, or the service's."""
        found = await inspect_image(docker, name)
        labels = ((found or {}).get("Config") or {}).get("Labels") or {}
        wanted = self._labels(service_id or labels.get(SERVICE, ""))
        return found if wanted.items() <= labels.items() else None

    async def _layers(self, docker: Docker, service_id: str) -> Sequence[Sequence[str]]:
        """Return the layers of the service's images and our latest ones, from the lowest one up."""
        found = await docker.images.list(filters=self._ours())

        def rank(one: Mapping[str, Any]) -> tuple[bool, int]:
            # Reproducible images are old from the beginning.
            return (one["Labels"].get(SERVICE) != service_id, -int(one["Created"]))

        likely = sorted(found, key=rank)[:_FEW]
        images = [await inspect_image(docker, one["Id"]) for one in likely]
        return [image["RootFS"].get("Layers") or [] for image in images if image]


def _repository(service_id: str) -> str:
    return f"helvetia/{service_id}"


async def load(
    docker: Docker, image: Image, name: str, kept: Sequence[Sequence[str]], log: LogSink
) -> None:
    """Load an image, without the layers that the engine has if it can do without."""
    chain = [layer.diff_id for layer in image.layers]
    there = max((_common(chain, one) for one in kept), default=0)
    left_out = set(chain[:there]) - set(chain[there:])
    if left_out:
        with contextlib.suppress(DockerError):  # they may be gone by now
            await _send(docker, image, name, left_out, log)
            return
    await _send(docker, image, name, set(), log)


async def _send(docker: Docker, image: Image, name: str, left_out: set[str], log: LogSink) -> None:
    sizes = {layer.diff_id: layer.size for layer in image.layers if layer.diff_id not in left_out}
    what = f"{len(sizes)} of {len({layer.diff_id for layer in image.layers})} layers"
    progress = Progress(log, what, sum(sizes.values()))
    archive = archive_of(image, name, left_out=left_out, tell=progress.at)
    async for _ in docker.images.import_image(archive, stream=True):
        pass
    progress.end()


def _common(one: Sequence[str], other: Sequence[str]) -> int:
    """Count the layers that two images have in common, from the lowest one up."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((at for at, (a, b) in pairs if a != b), min(len(one), len(other)))


async def _remove(docker: Docker, name: str) -> None:
    try:
        await docker.images.delete(name)
    except DockerError as error:
        if error.status == 409:
            raise HelvetiaError(
                f"the image {name} cannot be removed: {error.message}",
                hint="remove the container that uses it; then the image goes as well",
            ) from error
        if error.status != 404:
            raise


def _failed(error: HelvetiaError) -> BuildFailed:
    if isinstance(error, BuildFailed):
        return error
    if "no space left" in error.message:
        return BuildFailed(
            "the Docker engine has no space left for the image",
            hint="free some space on its disk, then deploy again",
        )
    return BuildFailed(f"the image cannot be kept: {error.message}", hint=error.hint)
