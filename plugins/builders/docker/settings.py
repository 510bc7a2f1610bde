"""What an operator decides about builds of images."""

from __future__ import annotations

from typing import ClassVar

from pydantic import BaseModel, Field


class BuildSettings(BaseModel):
    """What every builder of Dockerfiles has. The engine is that of the section `docker`.

    Attributes:
        section: the name of the section, for people.
    """

    section: ClassVar[str]

    image: str = Field("", description="Image to build in; empty: one is made once")
    memory_mb: int = Field(
        2048, ge=128, description="Memory of a build in MiB, or what the service may use if more"
    )
    cpu: float = Field(
        2, gt=0, description="Processor cores of a build, or what the service may use if more"
    )
    pids: int = Field(
        2048, ge=128, description="Processes and threads of a build, its engine's included"
    )
    disk_mb: int = Field(
        10240, ge=256, description="Disk of a build in MiB, cache included; also of its files"
    )
    seconds: float = Field(840, gt=0, description="Time limit of a build")
    cache_mb: int = Field(
        4096, ge=0, description="Layers kept for the next build of a service in MiB; 0: none"
    )
    caches_mb: int = Field(
        20480,
        ge=0,
        description="Layers of all services together in MiB, longest unused ones go; 0: no limit",
    )
    base_images: str = Field(
        "", description="Folder of image archives (*.tar) that builds may begin FROM, read first"
    )
    registry_mirror: str = Field("", description="URL of a mirror of Docker Hub")


class DockerBuilderSettings(BuildSettings):
    """The section `docker_builder`."""

    section = "docker_builder"

    image: str = Field(
        "", description="Image with a Docker engine to build in; empty: one is made once"
    )
    warm_seconds: float = Field(
        300, ge=0, description="How long the engine of a build waits for the next one; 0: it ends"
    )
    warm_builders: int = Field(
        2, ge=0, description="Engines that wait at once, each for its service, of each worker"
    )
    warm_mb: int = Field(
        256, ge=128, description="Memory of an engine that waits in MiB; it ends if it needs more"
    )
