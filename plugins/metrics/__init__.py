"""What services use and how they answer, kept for a week in little space."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from helvetia import EventListener, Kernel, ModelApp, SettingsSection, hookimpl

from .settings import MetricsSettings

if TYPE_CHECKING:
    from helvetia import Resource

helvetia_api = 1


@hookimpl
def helvetia_settings() -> Iterable[SettingsSection]:
    """The section `[metrics]`."""
    yield SettingsSection(name="metrics", schema=MetricsSettings)


@hookimpl
def helvetia_models() -> Iterable[ModelApp]:
    """Declare the tables of measurements."""
    yield ModelApp(
        label="metrics",
        models="helvetia.plugins.metrics.models",
        migrations="helvetia.plugins.metrics.migrations",
    )


@hookimpl
def helvetia_listeners(kernel: Kernel) -> Iterable[EventListener]:
    """Measure where work is done."""
    from helvetia.kernel.platform import Platform

    # The tests of other plugins have kernels without runtimes.
    if isinstance(kernel, Platform):
        from .listening import Measuring

        yield Measuring(kernel)


@hookimpl
def helvetia_resources() -> Iterable[Resource]:
    """Show what was measured."""
    from .endpoint import resource

    yield resource
