"""The dashboard: pages of people's services, a plugin like any other."""

from __future__ import annotations

from collections.abc import Iterable

from helvetia import Page, hookimpl

helvetia_api = 1


@hookimpl
def helvetia_pages() -> Iterable[Page]:
    """Add the pages."""
    from .routes import pages

    return pages()
