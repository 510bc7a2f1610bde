"""Archives that came over the API, checked out by the digest of their bytes."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from pathlib import Path

from pydantic import BaseModel, Field

from helvetia import (
    Detection,
    InvalidInput,
    Kernel,
    LogSink,
    Revision,
    Source,
    SourceAddress,
    SourceError,
)
from helvetia.plugins.archives import unpack

from .store import UploadStore

_SCHEME = "upload:"
_MIB = 1024 * 1024


class UploadSettings(BaseModel):
    """What an upload may take."""

    folder: str = Field(
        "", description="Where archives are kept; empty: in the data folder. One for all machines."
    )
    max_archive_mib: int = Field(512, ge=1, description="Largest packed upload in MiB.")
    max_size_mib: int = Field(1024, ge=1, description="Largest size of an unpacked upload in MiB.")
    max_files: int = Field(200_000, ge=1, description="Most files an upload may hold.")


def uploads_folder(kernel: Kernel) -> Path:
    """Return where the archives are kept."""
    if (own := kernel.section(UploadSettings).folder) == "":
        return kernel.folder("uploads")
    folder = Path(own).absolute()
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder


class UploadSource(Source):
    """Takes `upload:<sha256>`; the digest is the revision."""

    name = "upload"

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel
        self._store = UploadStore(uploads_folder(kernel))

    async def setup(self) -> None:
        """Remove what cut-off uploads left behind."""
        _ = await asyncio.to_thread(self._store.remove_leftovers)

    def claims(self, url: str) -> Detection:
        """Claim what begins with `upload:`."""
        if url.startswith(_SCHEME):
            return Detection(score=100, reason="it names an uploaded archive")
        return Detection(score=0, reason="it does not begin with `upload:`")

    async def resolve(self, address: SourceAddress) -> Revision:
        """Find the archive; the ref does not matter."""
        digest = self._digest(address.url)
        await self._existing(digest)
        notes = await asyncio.to_thread(self._store.notes, digest)
        message = notes.get("message") or notes.get("name") or ""
        return Revision(sha=digest, message=message)

    async def checkout(
        self, address: SourceAddress, revision: Revision, folder: Path, log: LogSink
    ) -> None:
        """Unpack the archive of `revision`."""
        settings = self._kernel.section(UploadSettings)
        archive = await self._existing(revision.sha)
        log.line(f"Unpacking the upload {revision.short}")
        try:
            await asyncio.to_thread(
                unpack,
                archive,
                folder,
                max_bytes=settings.max_size_mib * _MIB,
                max_files=settings.max_files,
            )
        except InvalidInput as error:
            raise SourceError(
                f"The upload {revision.short} is refused: {error.reason}.", hint=error.hint
            ) from error

    async def collect(self, used: Collection[str]) -> None:
        """Delete archives that nothing comes from, a day after they came."""
        digests = {url.removeprefix(_SCHEME) for url in used if url.startswith(_SCHEME)}
        await asyncio.to_thread(self._store.remove_unused, digests)

    def _digest(self, url: str) -> str:
        if not url.startswith(_SCHEME):
            raise InvalidInput("source", "an upload is written as `upload:<sha256>`")
        digest = url.removeprefix(_SCHEME)
        self._store.path(digest)
        return digest

    async def _existing(self, digest: str) -> Path:
        path = self._store.path(digest)
        if not await asyncio.to_thread(path.is_file):
            raise SourceError(
                f"There is no upload {digest[:7]} where this worker keeps them.",
                hint="Send the folder again: uploads are removed after a while. Where workers have "
                "data folders of their own, let the operator set `folder` in section [upload].",
            )
        return path
