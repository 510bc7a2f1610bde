"""Static sites: plain HTML, or what a Node tool builds, served by a small server of our own."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from helvetia import hookimpl

if TYPE_CHECKING:
    from helvetia import Builder, Kernel, SettingsSection

helvetia_api = 1


# Each site's server loads this package on its way, and needs neither settings nor contracts.
@hookimpl
def helvetia_settings() -> Iterable[SettingsSection]:
    """Declare the section `static`."""
    from helvetia import SettingsSection

    from .settings import StaticSettings

    yield SettingsSection(name="static", schema=StaticSettings)


@hookimpl
def helvetia_builders(kernel: Kernel) -> Iterable[Builder]:
    """Offer the builder `static`."""
    from .build import StaticBuilder

    yield StaticBuilder(kernel)
