"""What an operator decides about builds with buildah."""

from __future__ import annotations

from pydantic import Field

from helvetia.plugins.builders.docker.settings import BuildSettings


class BuildahSettings(BuildSettings):
    """The section `buildah`."""

    section = "buildah"

    preferred: bool = Field(
        False, description="Build Dockerfiles with buildah where a service names no builder"
    )
    image: str = Field("", description="Image with buildah to build in; empty: one is made once")
