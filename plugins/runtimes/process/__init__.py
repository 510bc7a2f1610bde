"""Runs instances as plain processes of this machine."""

from __future__ import annotations

from collections.abc import Iterable

from helvetia import Kernel, Runtime, SettingsSection, hookimpl

from .settings import ProcessSettings

helvetia_api = 1


@hookimpl
def helvetia_settings() -> Iterable[SettingsSection]:
    """Declare the section `process`."""
    yield SettingsSection(name="process", schema=ProcessSettings)


@hookimpl
def helvetia_runtimes(kernel: Kernel) -> Iterable[Runtime]:
    """Offer the runtime `process`."""
    from .runtime import ProcessRuntime

    yield ProcessRuntime(kernel)
