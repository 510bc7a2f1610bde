"""Traefik as the edge: one child process, one file per service, every switch confirmed."""

from __future__ import annotations

from collections.abc import Iterable

from helvetia import Kernel, Router, SettingsSection, hookimpl

helvetia_api = 1


@hookimpl
def helvetia_settings() -> Iterable[SettingsSection]:
    """Declare the section `[traefik]`."""
    from .settings import TraefikSettings

    yield SettingsSection(name="traefik", schema=TraefikSettings)


@hookimpl
def helvetia_routers(kernel: Kernel) -> Iterable[Router]:
    """Offer the router `traefik`."""
    from .router import TraefikRouter

    yield TraefikRouter(kernel)
