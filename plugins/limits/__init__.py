"""Rate limits by client address, in Redis where there is one, else in this process."""

from __future__ import annotations

from collections.abc import Iterable

from helvetia import Guard, Kernel, SettingsSection, hookimpl

from .settings import LimitsSettings

helvetia_api = 1


@hookimpl
def helvetia_settings() -> Iterable[SettingsSection]:
    """The section `[limits]`."""
    yield SettingsSection(name="limits", schema=LimitsSettings)


@hookimpl
def helvetia_guards(kernel: Kernel) -> Iterable[Guard]:
    """Limit how often an address may ask."""
    from .guard import RateLimits

    yield RateLimits(kernel)
