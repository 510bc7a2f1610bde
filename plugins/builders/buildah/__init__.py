"""Builds images from Dockerfiles with buildah, in a container without privileges."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable

from helvetia import Builder, Kernel, SettingsSection, hookimpl

from .settings import BuildahSettings

helvetia_api = 1


@hookimpl
def helvetia_settings() -> Iterable[SettingsSection]:
    """Declare the section `buildah`."""
    yield SettingsSection(name="buildah", schema=BuildahSettings)


@hookimpl
def helvetia_builders(kernel: Kernel) -> Iterable[Builder]:
    """Offer the builder `buildah`, where the plugin is enabled that knows the engine."""
    from .builder import BuildahBuilder

    with contextlib.suppress(KeyError):
        yield BuildahBuilder(kernel)
