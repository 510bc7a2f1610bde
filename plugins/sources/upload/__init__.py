"""Source plugin `upload`: a folder that somebody packed and sent."""

from __future__ import annotations

from collections.abc import Iterable

from helvetia import Kernel, Resource, SettingsSection, Source, hookimpl

from .source import UploadSettings, UploadSource, uploads_folder

__all__ = ["UploadSettings", "UploadSource", "uploads_folder"]

helvetia_api = 1


@hookimpl
def helvetia_settings() -> Iterable[SettingsSection]:
    """Declare `[upload]`."""
    yield SettingsSection(name="upload", schema=UploadSettings)


@hookimpl
def helvetia_sources(kernel: Kernel) -> Iterable[Source]:
    """Offer the source `upload`."""
    yield UploadSource(kernel)


@hookimpl
def helvetia_resources() -> Iterable[Resource]:
    """Offer the endpoint that takes uploads."""
    from .endpoint import resource

    yield resource
