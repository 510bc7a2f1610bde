"""A Helvetia registry: folders, each under the digest of its files."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from helvetia import (
    DIRECTORY,
    Artifact,
    ArtifactReference,
    BuildFailed,
    InvalidInput,
    Kernel,
    LogSink,
    Registry,
    hookimpl,
)

helvetia_api = 1
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_INCOMING = ".incoming-"


class ExampleRegistry(Registry):
    """Copies each artifact to `<service>/<digest>`; it appears there in one step."""

    name = "example"
    accepts = frozenset({DIRECTORY})

    def __init__(self, kernel: Kernel) -> None:
        self._root = kernel.folder("example")

    async def push(self, artifact: Artifact, service_id: str, log: LogSink) -> ArtifactReference:
        """Keep a copy."""
        folder = self._folder(service_id)
        if artifact.kind not in self.accepts or not artifact.folder.is_dir():
            raise BuildFailed(f"there is no folder {artifact.location} to keep")
        try:
            digest, size = await asyncio.to_thread(_keep, artifact, folder)
        except OSError as error:
            raise BuildFailed(f"the artifact cannot be kept: {error}") from error
        log.line(f"kept as {digest[:12]}")
        kept = replace(artifact, location=str(folder / digest))
        return ArtifactReference(registry=self.name, digest=digest, bytes=size, artifact=kept)

    async def exists(self, reference: ArtifactReference) -> bool:
        """Look for the folder: it is there complete or not at all."""
        return await asyncio.to_thread(reference.artifact.folder.is_dir)

    async def delete(self, service_id: str, digest: str) -> None:
        """Remove the folder."""
        folder = self._folder(service_id, digest)
        await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)

    async def list(self, service_id: str) -> Sequence[str]:
        """Return the names of the folders."""
        folder = self._folder(service_id)
        names = await asyncio.to_thread(os.listdir, folder) if folder.is_dir() else []
        return sorted(name for name in names if not name.startswith(_INCOMING))

    def _folder(self, *ids: str) -> Path:
        for text in ids:
            if not _ID.fullmatch(text):
                raise InvalidInput("id", f"{text!r} is no id")
        return self._root.joinpath(*ids)


def _keep(artifact: Artifact, folder: Path) -> tuple[str, int]:
    total = hashlib.sha256(json.dumps(artifact.processes, sort_keys=True).encode())
    size = 0
    for path in sorted(artifact.folder.rglob("*")):
        content = b""
        if path.is_symlink():
            content = os.fsencode(os.readlink(path))
        elif path.is_file():
            content = path.read_bytes()
        total.update(b"%s\0%d\0" % (os.fsencode(path.relative_to(artifact.folder)), len(content)))
        total.update(b"%d\0%s" % (path.lstat().st_mode, content))
        size += len(content)
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / total.hexdigest()
    incoming = Path(tempfile.mkdtemp(prefix=_INCOMING, dir=folder))
    try:
        shutil.copytree(artifact.folder, incoming / "copy", symlinks=True)
        if not target.is_dir():
            (incoming / "copy").rename(target)
    finally:
        shutil.rmtree(incoming, ignore_errors=True)
    return target.name, size


@hookimpl
def helvetia_registries(kernel: Kernel) -> Iterable[Registry]:
    """Offer the registry `example`."""
    yield ExampleRegistry(kernel)
