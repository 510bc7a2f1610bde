"""Builds images from Dockerfiles, each in a Docker engine of its own that ends with the build."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable

from helvetia import Builder, Kernel, SettingsSection, hookimpl

from .settings import DockerBuilderSettings

helvetia_api = 1


@hookimpl
def helvetia_settings() -> Iterable[SettingsSection]:
    """Declare the section `docker_builder`."""
    yield SettingsSection(name="docker_builder", schema=DockerBuilderSettings)


@hookimpl
def helvetia_builders(kernel: Kernel) -> Iterable[Builder]:
    """Offer the builder `docker`, where the plugin is enabled that knows the engine."""
    from .builder import DockerBuilder

    with contextlib.suppress(KeyError):
        yield DockerBuilder(kernel)
