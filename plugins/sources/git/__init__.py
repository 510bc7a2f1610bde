"""Source plugin `git`: any Git repository over HTTPS, and over SSH or from a path if allowed."""

from __future__ import annotations

from collections.abc import Iterable

from helvetia import Kernel, SettingsSection, Source, hookimpl

from .settings import GitSettings
from .source import GitSource

__all__ = ["GitSettings", "GitSource"]

helvetia_api = 1


@hookimpl
def helvetia_settings() -> Iterable[SettingsSection]:
    """Declare `[git]`."""
    yield SettingsSection(name="git", schema=GitSettings)


@hookimpl
def helvetia_sources(kernel: Kernel) -> Iterable[Source]:
    """Offer the source `git`."""
    yield GitSource(kernel)
