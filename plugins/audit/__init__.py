"""Who changed what, from where: the journal for those who answer for it, kept within bounds."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from helvetia import EventListener, Kernel, SettingsSection, hookimpl

from .settings import AuditSettings

if TYPE_CHECKING:
    from helvetia import Resource

helvetia_api = 1


@hookimpl
def helvetia_settings() -> Iterable[SettingsSection]:
    """The section `[audit]`."""
    yield SettingsSection(name="audit", schema=AuditSettings)


@hookimpl
def helvetia_resources() -> Iterable[Resource]:
    """Offer the log and its export."""
    from .endpoints import resource

    yield resource


@hookimpl
def helvetia_listeners(kernel: Kernel) -> Iterable[EventListener]:
    """Forget what is older than it is kept."""
    from .forgetting import Forgetting

    yield Forgetting(kernel)
