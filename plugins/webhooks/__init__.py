"""Deploy on push: an inbox for webhooks of Git hosts, and a URL that deploys when it is called."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from helvetia import EventListener, ModelApp, hookimpl

if TYPE_CHECKING:
    from helvetia import Resource

helvetia_api = 1


@hookimpl
def helvetia_models() -> Iterable[ModelApp]:
    """Declare the table of hooks."""
    yield ModelApp(
        label="webhooks",
        models="helvetia.plugins.webhooks.models",
        migrations="helvetia.plugins.webhooks.migrations",
    )


@hookimpl
def helvetia_resources() -> Iterable[Resource]:
    """Offer the endpoint for Git hosts, and what people manage it with."""
    from .endpoint import resource as endpoint
    from .managing import resource as managing

    yield endpoint
    yield managing


@hookimpl
def helvetia_listeners() -> Iterable[EventListener]:
    """Forget the hooks of services that are gone."""
    from .forgetting import Forgetting

    yield Forgetting()
