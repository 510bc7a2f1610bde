"""Sign-in by GitHub, and what people grant us there."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from helvetia import AuthProvider, ModelApp, SettingsSection, hookimpl

from .settings import GitHubSignInSettings

if TYPE_CHECKING:
    from helvetia import Kernel

helvetia_api = 1


@hookimpl
def helvetia_auth(kernel: Kernel) -> Iterable[AuthProvider]:
    """Offer GitHub."""
    from .provider import GitHubAuth

    yield GitHubAuth(kernel)


@hookimpl
def helvetia_settings() -> Iterable[SettingsSection]:
    """The section `[auth_github]`; where GitHub is says `[github]`."""
    yield SettingsSection(name="auth_github", schema=GitHubSignInSettings)


@hookimpl
def helvetia_models() -> Iterable[ModelApp]:
    """Declare the table of grants."""
    yield ModelApp(
        label="auth_github",
        models="helvetia.plugins.auth.github.models",
        migrations="helvetia.plugins.auth.github.migrations",
    )
