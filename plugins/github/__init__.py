"""What sign-in, source and webhooks of GitHub share: its addresses and who we are there."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from helvetia import EventListener, Kernel, ModelApp, SettingsSection, hookimpl

from .settings import GitHubSettings

if TYPE_CHECKING:
    from helvetia import Resource

helvetia_api = 1


@hookimpl
def helvetia_settings() -> Iterable[SettingsSection]:
    """The section `[github]`."""
    yield SettingsSection(name="github", schema=GitHubSettings)


@hookimpl
def helvetia_models() -> Iterable[ModelApp]:
    """Declare the tables of connections and of what is to be done at GitHub."""
    yield ModelApp(
        label="github",
        models="helvetia.plugins.github.models",
        migrations="helvetia.plugins.github.migrations",
    )


@hookimpl
def helvetia_listeners(kernel: Kernel) -> Iterable[EventListener]:
    """Look after webhooks, and tell GitHub of deployments."""
    from .listening import GitHubListener

    yield GitHubListener(kernel)


@hookimpl
def helvetia_resources() -> Iterable[Resource]:
    """Offer repositories to choose from, connections, and the address for the App's webhook."""
    from .hooks import resource as hooks
    from .resources import resource as resources

    yield resources
    yield hooks
