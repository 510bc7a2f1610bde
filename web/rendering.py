"""Make pages out of templates."""

from __future__ import annotations

import functools
import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aiohttp import web
from markupsafe import Markup

from helvetia.kernel.http.access import Caller

from .filters import FILTERS
from .static_files import static_url

if TYPE_CHECKING:
    from jinja2 import Environment

SIGN_OUT = "/auth/sign-out"


@functools.cache
def _environment() -> Environment:
    # Later than the rest: a platform that starts shows no page yet.
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(FILTERS)
    environment.globals.update(static=static_url, sign_out=SIGN_OUT)
    return environment


def render(
    caller: Caller,
    request: web.Request,
    template: str,
    *,
    nav: str,
    status: int = 200,
    **values: Any,
) -> web.Response:
    """Return a page; 304 without it if the browser has the very same already.

    Args:
        caller: for whom it is.
        request: what was asked.
        template: file in `templates`.
        nav: the part of the dashboard it belongs to.
        status: HTTP status.
        values: what the template shows.
    """
    field = Markup('<input type="hidden" name="csrf_token" value="{}">').format(caller.csrf or "")
    text = (
        _environment()
        .get_template(template)
        .render(user=caller.user, csrf=lambda: field, nav=nav, **values)
    )
    digest = hashlib.sha256(text.encode()).hexdigest()[:16]
    known = {tag.value for tag in request.if_none_match or ()}
    if status == 200 and digest in known:
        response = web.Response(status=304, content_type="text/html")
    else:
        # Not compressed: it holds the CSRF token beside words of strangers.
        response = web.Response(text=text, status=status, content_type="text/html")
    response.etag = digest
    # Not kept by the browser: after signing out, going back must not show it. The script that
    # keeps a page fresh remembers the tag by itself.
    response.headers["Cache-Control"] = "no-store"
    return response
