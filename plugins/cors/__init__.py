"""Let pages of other origins use the API with a token; of none, unless an operator names them."""

from __future__ import annotations

from collections.abc import Iterable

from pydantic import BaseModel, Field

from helvetia import Guard, Kernel, Page, SettingsSection, hookimpl

helvetia_api = 1


class CorsSettings(BaseModel):
    """Section `[cors]`: who else may ask."""

    origins: str = Field(
        "",
        pattern=r"^(https?://[a-z0-9.:\[\]-]+(,https?://[a-z0-9.:\[\]-]+)*)?$",
        description="comma-separated origins whose pages may use the API with a token",
    )


@hookimpl
def helvetia_settings() -> Iterable[SettingsSection]:
    """The section `[cors]`."""
    yield SettingsSection(name="cors", schema=CorsSettings)


@hookimpl
def helvetia_guards(kernel: Kernel) -> Iterable[Guard]:
    """Tell browsers that an origin may read an answer."""
    from .sharing import Sharing

    if origins := kernel.section(CorsSettings).origins:
        yield Sharing(origins.split(","))


@hookimpl
def helvetia_pages(kernel: Kernel) -> Iterable[Page]:
    """Answer browsers that ask before they ask."""
    from .sharing import answer_preflight

    if kernel.section(CorsSettings).origins:
        path = "/api/{path:.*}"
        yield Page(method="OPTIONS", path=path, handler=answer_preflight, public=True)
