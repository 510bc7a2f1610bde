"""Python and Node applications that say how they start: in a Procfile, or plainly enough."""

from __future__ import annotations

from collections.abc import Iterable

from helvetia import Builder, Stage, hookimpl

helvetia_api = 1


@hookimpl
def helvetia_builders() -> Iterable[Builder]:
    """Offer the builder `procfile`."""
    from .build import ProcfileBuilder

    yield ProcfileBuilder()


@hookimpl
def helvetia_stages() -> Iterable[Stage]:
    """Offer the stage that runs the `release` process before a new version starts."""
    from .release import ReleaseCommand

    yield ReleaseCommand()
