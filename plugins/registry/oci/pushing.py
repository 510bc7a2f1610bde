"""One image on its way into a repository: what is there already stays, the manifest is last."""

from __future__ import annotations

import functools
import tempfile
from pathlib import Path

from helvetia import LogSink
from helvetia.plugins.registry.common.errands import errand
from helvetia.plugins.registry.common.images import Image, Layer
from helvetia.plugins.registry.common.progress import Progress
from helvetia.plugins.registry.common.settings import RegistrySettings

from .blobs import Blob, packed
from .client import Client
from .known import Known
from .manifests import Manifest, Part, make_manifest, tag_of
from .repository import Repository
from .uploads import Upload, mount


class Push:
    """Pushes an image.

    Args:
        known: what layers became before; what is learnt is added.
        folder: for the layer under way.
        settings: of the registry.
    """

    def __init__(
        self,
        client: Client,
        image: Image,
        repository: Repository,
        *,
        known: dict[str, Known],
        folder: Path,
        settings: RegistrySettings,
        log: LogSink,
    ) -> None:
        self._client, self._image, self._repository = client, image, repository
        self._known, self._folder = known, folder
        self._settings, self._log = settings, log

    async def run(self) -> Manifest:
        """Push it and return its manifest.

        Raises:
            Refused: the registry does not take it.
            BuildFailed: the image is damaged.
            OSError: there is no space to compress a layer in.
        """
        tag = tag_of(self._image.id, self._repository.installation)
        if kept := await self._client.persistently(functools.partial(self._kept, tag)):
            self._log.line(f"{self._repository.name} has the image already")
            return kept
        await self._layers()
        config = await self._config()
        manifest = make_manifest(
            config,
            [self._part_of(layer) for layer in self._image.layers],
            installation=self._repository.installation,
        )
        await self._client.persistently(functools.partial(self._repository.put, manifest, tag))
        return manifest

    async def _kept(self, tag: str) -> Manifest | None:
        """Find the image as a former push left it; only whole ones count."""
        found = await self._repository.manifest(tag)
        if found is None or found.config.digest != self._image.id:
            return None
        return None if await self._repository.missing(found.parts) else found

    async def _layers(self) -> None:
        layers = {layer.diff_id: layer for layer in self._image.layers}  # each once
        asked = await self._client.persistently(functools.partial(self._missing, layers))
        missing = [layer for layer in asked if not await self._mounted(layer)]
        if there := len(layers) - len(missing):
            self._log.line(f"{there} of {len(layers)} layers are in the registry already")
        for number, layer in enumerate(layers.values(), start=1):
            if layer in missing:
                await self._upload(layer, f"layer {number} of {len(layers)}")

    async def _missing(self, layers: dict[str, Layer]) -> list[Layer]:
        known = {diff_id: self._part_of(layers[diff_id]) for diff_id in layers.keys() & self._known}
        gone = {part.digest for part in await self._repository.missing(known.values())}
        return [
            layer
            for diff_id, layer in layers.items()
            if diff_id not in known or known[diff_id].digest in gone
        ]

    async def _mounted(self, layer: Layer) -> bool:
        """Have a layer that another service pushed lent to this one."""
        known = self._known.get(layer.diff_id)
        if known is None or known.repository == self._repository.name:
            return False
        work = functools.partial(
            mount, self._client, self._repository.name, known.digest, known.repository
        )
        return await self._client.persistently(work)

    async def _upload(self, layer: Layer, what: str) -> None:
        level = self._settings.compression
        async with packed(self._image, layer, folder=self._folder, level=level) as blob:
            progress = Progress(self._log, what, blob.size)
            await Upload(
                self._client,
                self._repository.name,
                blob,
                what=f"to keep {what}",
                part=self._settings.chunk_mb * 10**6,
                tell=progress.at,
            ).run()
            progress.end()
        self._known[layer.diff_id] = Known(
            digest=blob.digest, size=blob.size, repository=self._repository.name
        )

    async def _config(self) -> Part:
        part = Part(digest=self._image.id, size=len(self._image.config))
        with tempfile.TemporaryFile(dir=self._folder, buffering=0) as file:
            await errand(functools.partial(file.write, self._image.config))
            blob = Blob(digest=part.digest, size=part.size, handle=file.fileno())
            what = "to keep the image's configuration"
            await Upload(self._client, self._repository.name, blob, what=what).run()
        return part

    def _part_of(self, layer: Layer) -> Part:
        known = self._known[layer.diff_id]
        return Part(digest=known.digest, size=known.size)
