"""Sign-in by user name and password, kept by this installation."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from helvetia import AuthProvider, ModelApp, hookimpl

if TYPE_CHECKING:
    import typer

helvetia_api = 1


@hookimpl
def helvetia_auth() -> Iterable[AuthProvider]:
    """Offer passwords."""
    from .provider import LocalAuth

    yield LocalAuth()


@hookimpl
def helvetia_models() -> Iterable[ModelApp]:
    """Declare the tables."""
    yield ModelApp(
        label="auth_local",
        models="helvetia.plugins.auth.local.models",
        migrations="helvetia.plugins.auth.local.migrations",
    )


@hookimpl
def helvetia_commands() -> Iterable[typer.Typer]:
    """Add `helvetia users`."""
    from .commands import app

    yield app
