"""The pages of the sign-in: small, self-contained, the same without JavaScript."""

from __future__ import annotations

import functools
import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aiohttp import web

if TYPE_CHECKING:
    from jinja2 import Environment

_FOLDER = Path(__file__).parent / "templates"
STYLE_PATH = "/auth/pages/style.css"


@functools.cache
def _environment(folder: Path) -> Environment:
    # Later than the rest: a platform that starts shows no page yet.
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    return Environment(
        loader=FileSystemLoader([folder, _FOLDER]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


@functools.cache
def _style() -> tuple[bytes, str]:
    style = (_FOLDER / "style.css").read_bytes()
    return style, hashlib.sha256(style).hexdigest()[:12]


def render(folder: Path, template: str, *, status: int = 200, **values: Any) -> web.Response:
    """Return a page that nobody keeps and whose address stays here: it may hold a token.

    Args:
        folder: where the template is; it may extend `base.html` of this one.
        template: its name.
        status: of the answer.
        values: for the template.
    """
    style = f"{STYLE_PATH}?v={_style()[1]}"
    text = _environment(folder).get_template(template).render(style=style, **values)
    headers = {"Cache-Control": "no-store", "Referrer-Policy": "same-origin"}
    return web.Response(text=text, status=status, content_type="text/html", headers=headers)


def choose(ways: list[tuple[str, str]], target: str) -> web.Response:
    """Return the page on which one chooses how to sign in, from addresses and titles."""
    return render(_FOLDER, "choose.html", ways=ways, next=target)


async def style(request: web.Request) -> web.Response:
    """Serve the style sheet; its address changes when it does."""
    return web.Response(
        body=_style()[0],
        content_type="text/css",
        charset="utf-8",
        headers={"Cache-Control": "public, max-age=31536000, immutable"},
    )
