"""Static sites: plain HTML, or what a Node tool builds, served by a small server of our own."""

from __future__ import annotations

from collections.abc import Iterable

from helvetia import Builder, hookimpl

helvetia_api = 1


@hookimpl
def helvetia_builders() -> Iterable[Builder]:
    """Offer the builder `static`."""
    from .build import StaticBuilder

    yield StaticBuilder()
