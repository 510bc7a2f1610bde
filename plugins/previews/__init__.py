"""Previews of pull requests: each a service of its own, at its own address, until it is closed."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from helvetia import EventListener, Kernel, ModelApp, hookimpl

if TYPE_CHECKING:
    from helvetia import Resource

helvetia_api = 1


@hookimpl
def helvetia_models() -> Iterable[ModelApp]:
    """Declare the tables of previews."""
    yield ModelApp(
        label="previews",
        models="helvetia.plugins.previews.models",
        migrations="helvetia.plugins.previews.migrations",
    )


@hookimpl
def helvetia_resources() -> Iterable[Resource]:
    """Offer what people do with previews."""
    from .resources import resource

    yield resource


@hookimpl
def helvetia_listeners(kernel: Kernel) -> Iterable[EventListener]:
    """Make and remove previews as pull requests come and go."""
    from .listening import PreviewListener

    yield PreviewListener(kernel)
