"""A Helvetia auth provider: whoever knows the passphrase of the settings is the operator."""

from __future__ import annotations

import hmac
from collections.abc import Iterable

from aiohttp import web
from pydantic import BaseModel, Field

from helvetia import AuthProvider, Identity, Kernel, SettingsSection, hookimpl

helvetia_api = 1
_FORM = """<!doctype html><title>Sign in</title><form method="post" action="/auth/example/complete">
<p>{}<p><input type="password" name="passphrase" required> <button>Sign in</button></form>"""


class ExampleSettings(BaseModel):
    """The section of this plugin."""

    passphrase: str = Field("", description="the passphrase; empty: nobody can sign in")


class ExampleAuth(AuthProvider):
    """Asks for the passphrase."""

    name = "example"
    title = "Passphrase"

    def __init__(self, kernel: Kernel) -> None:
        self._passphrase = kernel.section(ExampleSettings).passphrase.encode()

    async def begin(self, request: web.Request) -> web.StreamResponse:
        """Show the form."""
        return _page("What is the passphrase?")

    async def complete(self, request: web.Request) -> Identity | web.StreamResponse:
        """Compare in constant time."""
        said = (await request.post()).get("passphrase")
        known = self._passphrase
        if known and isinstance(said, str) and hmac.compare_digest(said.encode(), known):
            return Identity(
                subject="operator-1", name="Operator", may_register=True, may_found=True
            )
        return _page("That is not the passphrase.", status=401)


def _page(text: str, *, status: int = 200) -> web.Response:
    return web.Response(text=_FORM.format(text), content_type="text/html", status=status)


@hookimpl
def helvetia_settings() -> Iterable[SettingsSection]:
    """Declare the section."""
    yield SettingsSection(name="example_auth", schema=ExampleSettings)


@hookimpl
def helvetia_auth(kernel: Kernel) -> Iterable[AuthProvider]:
    """Offer the way to sign in."""
    yield ExampleAuth(kernel)
