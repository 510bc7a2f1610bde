"""Static sites: plain HTML, or what a Node tool builds, served by a small server of our own."""

from __future__ import annotations

from collections.abc import Iterable

from helvetia import Builder, Kernel, SettingsSection, hookimpl

from .settings import StaticSettings

helvetia_api = 1


@hookimpl
def helvetia_settings() -> Iterable[SettingsSection]:
    """Declare the section `static`."""
    yield SettingsSection(name="static", schema=StaticSettings)


@hookimpl
def helvetia_builders(kernel: Kernel) -> Iterable[Builder]:
    """Offer the builder `static`."""
    from .build import StaticBuilder

    yield StaticBuilder(kernel)
