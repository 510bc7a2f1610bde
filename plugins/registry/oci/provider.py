"""The provider `oci`."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from pathlib import Path

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
from helvetia.plugins.registry.common.images import read_image
from helvetia.plugins.registry.common.naming import checked_digest, checked_service
from helvetia.plugins.registry.common.settings import RegistrySettings
from helvetia.plugins.registry.common.space import cannot_keep

from .authentication import Authentication
from .client import Client
from .known import KnownLayers
from .manifests import Manifest
from .problems import Refused
from .pushing import Push
from .repository import Repository

_CHECK_SECONDS = 3.0


class OciRegistry(Registry):
    """Keeps images as `<prefix>/<service id>:<first 40 of the image's id>-<installation>`."""

    name = "oci"
    accepts = frozenset({OCI_IMAGE})

    def __init__(self, kernel: Kernel) -> None:
        self._settings = kernel.section(RegistrySettings)
        self._installation = kernel.installation
        self._folder = kernel.folder("registry")
        self._authentication = Authentication(self._settings)
        self._tls: ssl.SSLContext | None = None

    async def check(self) -> Check:
        """Say whether the registry is there and takes the user name and password."""
        where = self._settings.url
        if not where:
            return Check(ok=False, reason="no registry is set (HELVETIA_REGISTRY_URL)")
        try:
            async with asyncio.timeout(_CHECK_SECONDS), await self._client() as client:
                await client.ask("GET", "/v2/", what="")
        except TimeoutError:
            reason = f"{where} did not answer within {_CHECK_SECONDS:g} s"
            return Check(ok=False, reason=reason)
        except HelvetiaError as error:
            return Check(ok=False, reason=error.message)
        return Check(ok=True, reason=f"keeps images at {where}")

    async def push(self, artifact: Artifact, service_id: str, log: LogSink) -> ArtifactReference:
        """Upload what the registry has not got yet."""
        repository = self._settings.repository(checked_service(service_id))
        if artifact.kind not in self.accepts:
            raise BuildFailed(f"the registry oci keeps no artifacts of kind {artifact.kind}")
        image = await asyncio.to_thread(read_image, Path(artifact.location))
        known = KnownLayers(self._folder / "layers.json")
        remembered = await asyncio.to_thread(known.read)
        ids = [layer.diff_id for layer in image.layers]
        origins = {remembered[one].repository for one in ids if one in remembered} - {repository}
        try:
            async with await self._client(
                f"repository:{repository}:pull,push",
                *(f"repository:{origin}:pull" for origin in sorted(origins)),
                log=log,
            ) as client:
                manifest = await Push(
                    client,
                    image,
                    Repository(client, repository, installation=self._installation),
                    known=remembered,
                    folder=self._folder,
                    settings=self._settings,
                    log=log,
                ).run()
            await asyncio.to_thread(
                known.add, {one: remembered[one] for one in ids if one in remembered}
            )
        except Refused as error:
            raise BuildFailed(error.message, hint=error.hint) from error
        except OSError as error:
            raise cannot_keep(error, self._folder) from error
        return self._reference(artifact, repository, manifest)

    async def exists(self, reference: ArtifactReference) -> bool:
        """Tell whether the image is there with all its parts."""
        name, _, digest = reference.artifact.location.partition("@")
        authority, _, repository = name.partition("/")
        if not self._settings.url or authority != self._settings.authority:
            return False
        if digest != reference.digest:
            return False
        async with self._opened(repository) as kept:
            manifest = await kept.manifest(checked_digest(digest))
            return manifest is not None and not await kept.missing(manifest.parts)

    async def delete(self, service_id: str, digest: str) -> None:
        """Forget an image of ours; its layers stay until the registry collects its garbage."""
        repository = self._settings.repository(checked_service(service_id))
        checked_digest(digest)
        async with self._opened(repository, rights="pull,delete") as kept:
            if await kept.manifest(digest):
                await kept.delete(digest)

    async def list(self, service_id: str) -> Sequence[str]:
        """Return the digests of our images of a service."""
        repository = self._settings.repository(checked_service(service_id))
        if not self._settings.url:
            return []
        async with self._opened(repository) as kept:
            return sorted({manifest.digest for manifest in await kept.manifests()})

    def _reference(
        self, artifact: Artifact, repository: str, manifest: Manifest
    ) -> ArtifactReference:
        location = f"{self._settings.authority}/{repository}@{manifest.digest}"
        return ArtifactReference(
            registry=self.name,
            digest=manifest.digest,
            bytes=manifest.bytes,
            artifact=replace(artifact, location=location),
        )

    @contextlib.asynccontextmanager
    async def _opened(self, repository: str, rights: str = "pull") -> AsyncIterator[Repository]:
        async with await self._client(f"repository:{repository}:{rights}") as client:
            yield Repository(client, repository, installation=self._installation)

    async def _client(self, *scopes: str, log: LogSink | None = None) -> Client:
        if not self._settings.url:
            raise Refused(
                "no registry is set", hint="HELVETIA_REGISTRY_URL says where images are kept"
            )
        if self._settings.base.scheme == "https" and self._tls is None:
            self._tls = await asyncio.to_thread(_trust, self._settings.ca)
        return Client(self._settings, self._authentication, scopes=scopes, tls=self._tls, log=log)


def _trust(ca: str) -> ssl.SSLContext:
    """Trust what this machine trusts, and one more authority."""
    context = ssl.create_default_context()
    if ca:
        try:
            context.load_verify_locations(Path(ca).expanduser())
        except OSError as error:  # also what is wrong with the certificate in it
            raise Refused(
                f"HELVETIA_REGISTRY_CA: {ca} cannot be used: {error.strerror or error}",
                hint="it must be a PEM file",
            ) from error
    return context
