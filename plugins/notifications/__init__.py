"""Tell people what needs them: by webhook, chat or e-mail."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from helvetia import EventListener, Kernel, ModelApp, SettingsSection, hookimpl

from .settings import NotificationsSettings

if TYPE_CHECKING:
    from helvetia import Resource

helvetia_api = 1


@hookimpl
def helvetia_settings() -> Iterable[SettingsSection]:
    """The section `[notifications]`."""
    yield SettingsSection(name="notifications", schema=NotificationsSettings)


@hookimpl
def helvetia_models() -> Iterable[ModelApp]:
    """Declare the tables of channels and messages."""
    yield ModelApp(
        label="notifications",
        models="helvetia.plugins.notifications.models",
        migrations="helvetia.plugins.notifications.migrations",
    )


@hookimpl
def helvetia_listeners(kernel: Kernel) -> Iterable[EventListener]:
    """Watch, and send, where events are told."""
    from helvetia.kernel.platform import Platform

    # The tests of other plugins have kernels without a router.
    if isinstance(kernel, Platform):
        from .watching import Watching

        yield Watching(kernel)


@hookimpl
def helvetia_resources(kernel: Kernel) -> Iterable[Resource]:
    """Offer what people manage channels with."""
    from .managing import make_resource
    from .sending import Outbox

    yield make_resource(Outbox(kernel))
