"""The provider `folder`."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence

from helvetia import (
    DIRECTORY,
    Artifact,
    ArtifactReference,
    BuildFailed,
    Check,
    InvalidInput,
    Kernel,
    LogSink,
    Registry,
)

from .common.space import cannot_keep
from .store import Store

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_DIGEST = re.compile(r"[0-9a-f]{64}")


class FolderRegistry(Registry):
    """Keeps `directory` artifacts as `artifacts/<service>/<digest>`, one copy of each content."""

    name = "folder"
    accepts = frozenset({DIRECTORY})
    capabilities = frozenset({"one-machine"})

    def __init__(self, kernel: Kernel) -> None:
        self._folder = kernel.folder("artifacts")

    async def check(self) -> Check:
        """Say where artifacts are kept."""
        return Check(ok=True, reason="keeps folders in the platform's data folder")

    async def push(self, artifact: Artifact, service_id: str, log: LogSink) -> ArtifactReference:
        """Take the artifact's folder in: it is moved if it can be."""
        if artifact.kind not in self.accepts:
            raise BuildFailed(f"the registry folder keeps no artifacts of kind {artifact.kind}")
        store = self._store(service_id)
        try:
            kept = await asyncio.to_thread(store.keep, artifact)
        except InvalidInput as error:
            raise BuildFailed(f"the artifact cannot be kept: {error.reason}") from error
        except OSError as error:
            raise cannot_keep(error, self._folder) from error
        log.line(f"Kept {kept.files} files, {_size(kept.bytes)}, as {kept.digest[:12]}")
        return ArtifactReference(
            registry=self.name, digest=kept.digest, bytes=kept.bytes, artifact=kept.artifact
        )

    async def exists(self, reference: ArtifactReference) -> bool:
        """Tell whether the artifact is there, complete."""
        location = reference.artifact.folder
        if location.name != reference.digest or location.parent.parent != self._folder:
            return False
        store = self._store(location.parent.name)
        return await asyncio.to_thread(store.has, _checked_digest(reference.digest))

    async def delete(self, service_id: str, digest: str) -> None:
        """Forget an artifact; quiet if it is gone already."""
        await asyncio.to_thread(self._store(service_id).delete, _checked_digest(digest))

    async def list(self, service_id: str) -> Sequence[str]:
        """Return the digests of the complete artifacts of a service."""
        return await asyncio.to_thread(self._store(service_id).digests)

    def _store(self, service_id: str) -> Store:
        if not _ID.fullmatch(service_id):
            raise InvalidInput("service", f"{service_id!r} is not an id")
        return Store(self._folder / service_id)


def _checked_digest(digest: str) -> str:
    if not _DIGEST.fullmatch(digest):
        raise InvalidInput("digest", f"{digest!r} is not a digest")
    return digest


def _size(count: int) -> str:
    return f"{count / 2**20:.1f} MB" if count >= 2**20 else f"{count / 1024:.1f} kB"
