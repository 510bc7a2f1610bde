"""Source plugin `git`: any Git repository over HTTPS, and over SSH or from a path if allowed."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from helvetia import EventListener, Kernel, ModelApp, SettingsSection, Source, hookimpl

from .settings import GitSettings
from .source import GitSource

if TYPE_CHECKING:
    from helvetia import Resource

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


@hookimpl
def helvetia_models() -> Iterable[ModelApp]:
    """Declare the table of credentials."""
    yield ModelApp(
        label="git",
        models="helvetia.plugins.sources.git.credentials.models",
        migrations="helvetia.plugins.sources.git.credentials.migrations",
    )


@hookimpl
def helvetia_resources() -> Iterable[Resource]:
    """Offer to give and take credentials."""
    from .credentials.managing import resource

    yield resource


@hookimpl
def helvetia_listeners() -> Iterable[EventListener]:
    """Forget the credentials of services that are gone."""
    from .credentials.forgetting import Forgetting

    yield Forgetting()
