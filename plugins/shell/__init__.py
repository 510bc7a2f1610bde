"""Commands of people in the environment of a release, at a terminal or not."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from helvetia import Kernel, SettingsSection, hookimpl

from .settings import ShellSettings

if TYPE_CHECKING:
    from helvetia import Resource

helvetia_api = 1


@hookimpl
def helvetia_settings() -> Iterable[SettingsSection]:
    """The section `[shell]`."""
    yield SettingsSection(name="shell", schema=ShellSettings)


@hookimpl
def helvetia_resources(kernel: Kernel) -> Iterable[Resource]:
    """Offer the WebSocket over which they run."""
    from .endpoint import make_resource

    yield make_resource(kernel.section(ShellSettings))
