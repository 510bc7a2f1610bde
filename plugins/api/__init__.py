"""Plugin `api`: the REST API v1, its WebSocket logs and its OpenAPI document."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from helvetia import ModelApp, Page, SettingsSection, hookimpl

from .settings import DomainsSettings

if TYPE_CHECKING:
    from helvetia import Resource

helvetia_api = 1


@hookimpl
def helvetia_settings() -> Iterable[SettingsSection]:
    """The section `[domains]`."""
    yield SettingsSection(name="domains", schema=DomainsSettings)


@hookimpl
def helvetia_models() -> Iterable[ModelApp]:
    """Declare the table of invitations."""
    yield ModelApp(
        label="api",
        models="helvetia.plugins.api.models",
        migrations="helvetia.plugins.api.migrations",
    )


@hookimpl
def helvetia_resources() -> Iterable[Resource]:
    """Offer the resources of the API."""
    # The shapes of the API are used by the command line too, which needs no web server.
    from .resources import RESOURCES
    from .resources.metrics import make_resource

    yield from RESOURCES
    yield make_resource()


@hookimpl
def helvetia_pages() -> Iterable[Page]:
    """Serve invitations, and the style sheet of the sign-in pages."""
    from helvetia.plugins.auth.common.pages import STYLE_PATH, style

    from .invitations import PATH
    from .joining import join, show

    yield Page(method="GET", path=STYLE_PATH, handler=style, public=True)
    yield Page(method="GET", path=PATH, handler=show, public=True)
    yield Page(method="POST", path=PATH, handler=join, public=True)
