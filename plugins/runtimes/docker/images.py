"""The image of an artifact, in the engine."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from aiodocker import Docker, DockerError

from helvetia import OCI_IMAGE, InstanceSpec, ReleaseFailed
from helvetia.plugins.registry.common.settings import RegistrySettings

from .engine import inspect_image

_REFERENCE = re.compile(r"(?P<repository>[a-zA-Z0-9][^@\s]*@)?sha256:[0-9a-f]{64}")
_PORT = 8080


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """What is known of an image.

    Attributes:
        port: the one TCP port that it exposes, else 8080.
    """

    id: str
    port: int
    environment: dict[str, str]
    workdir: str
    labels: dict[str, str]


async def obtain(docker: Docker, spec: InstanceSpec, registry: RegistrySettings | None) -> Image:
    """Return the image of the spec; it is pulled if the engine does not have it.

    Args:
        registry: the platform's own, if it has one; its password is shown to no other.

    Raises:
        ReleaseFailed: it cannot be had, or is none.
    """
    artifact = spec.artifact.artifact
    reference = _REFERENCE.fullmatch(artifact.location)
    if artifact.kind != OCI_IMAGE or reference is None:
        raise ReleaseFailed(
            f"release {spec.release_id} is no image by digest but {artifact.kind} "
            f"`{artifact.location}`",
            hint="Choose a registry that keeps images.",
        )
    if (found := await inspect_image(docker, artifact.location)) is not None:
        return _read(found)
    problem = "it is not in the engine"
    if reference["repository"]:
        try:
            login = registry.login(artifact.location) if registry else None
            await docker.images.pull(artifact.location, auth=login)
            return _read(await docker.images.inspect(artifact.location))
        except DockerError as error:
            problem = error.message
    raise ReleaseFailed(
        f"the image {artifact.location} of release {spec.release_id} cannot be had: {problem}",
        hint="Look whether the registry answers, or deploy the revision again to build it anew.",
    )


async def forget_pulled(
    docker: Docker, registry: RegistrySettings, service_id: str, kept: Collection[str]
) -> None:
    """Remove the images that were pulled for a service from the platform's registry.

    Those that a container uses stay, and so do those that somebody else gave a name.
    """
    repository = f"{registry.authority}/{registry.repository(service_id)}"
    found = await docker.images.list(filters={"reference": [f"{repository}@sha256:*"]})
    pulled = {name for one in found for name in one.get("RepoDigests") or []}
    for name in sorted(pulled):
        where, _, digest = name.partition("@")
        if where == repository and digest not in kept:
            try:
                await docker.images.delete(name)
            except DockerError as error:
                if error.status not in (404, 409):
                    raise


def _read(found: dict[str, Any]) -> Image:
    config = found.get("Config") or {}
    exposed = [port.partition("/") for port in config.get("ExposedPorts") or {}]
    ports = [int(number) for number, _, protocol in exposed if protocol in ("", "tcp")]
    environment = (one.partition("=") for one in config.get("Env") or [])
    return Image(
        id=found["Id"],
        port=ports[0] if len(ports) == 1 else _PORT,
        environment={name: value for name, _, value in environment},
        workdir=config.get("WorkingDir") or "/",
        labels=config.get("Labels") or {},
    )
