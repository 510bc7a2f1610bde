"""Registries keep artifacts so that every runtime can have them and a rollback finds them."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence

from .artifact import Artifact, ArtifactReference
from .base import LogSink, Provider


class Registry(Provider):
    """Keeps artifacts by digest.

    Required: `accepts` (artifact kinds), `push`, `exists`, `delete`, `list`. What `check` says
    stands in plans: let it tell where artifacts are kept.
    """

    accepts: frozenset[str]

    @abstractmethod
    async def push(self, artifact: Artifact, service_id: str, log: LogSink) -> ArtifactReference:
        """Keep the artifact. Pushing the same content again gives the same digest.

        The registry may move a `directory` instead of copying it.

        Raises:
            BuildFailed: the artifact cannot be kept (no space, refused).
        """

    @abstractmethod
    async def exists(self, reference: ArtifactReference) -> bool:
        """Tell whether the artifact is still there, complete."""

    @abstractmethod
    async def delete(self, service_id: str, digest: str) -> None:
        """Forget an artifact; quiet if it is gone already."""

    @abstractmethod
    async def list(self, service_id: str) -> Sequence[str]:
        """Return the digests kept for a service."""
