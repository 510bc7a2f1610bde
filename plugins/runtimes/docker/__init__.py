"""Runs instances as containers of a Docker engine."""

from __future__ import annotations

from collections.abc import Iterable

from helvetia import Kernel, Runtime, SettingsSection, hookimpl

from .settings import DockerSettings

helvetia_api = 1


@hookimpl
def helvetia_settings() -> Iterable[SettingsSection]:
    """Declare the section `docker`."""
    yield SettingsSection(name="docker", schema=DockerSettings)


@hookimpl
def helvetia_runtimes(kernel: Kernel) -> Iterable[Runtime]:
    """Offer the runtime `docker`."""
    from .runtime import DockerRuntime

    yield DockerRuntime(kernel)
