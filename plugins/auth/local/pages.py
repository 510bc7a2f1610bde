"""The pages of passwords."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from helvetia.plugins.auth.common import pages

if TYPE_CHECKING:
    from aiohttp import web

_FOLDER = Path(__file__).parent / "templates"


def render(template: str, *, status: int = 200, **values: Any) -> web.Response:
    """Return a page of this plugin."""
    return pages.render(_FOLDER, template, status=status, **values)


def safe_next(value: str) -> str:
    """Return a path of this site; `/` for everything that could lead elsewhere."""
    is_path = value.startswith("/") and not value.startswith("//")
    if is_path and "\\" not in value and value.isprintable() and len(value) <= 2048:
        return value
    return "/"
