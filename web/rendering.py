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
from .said import said
from .static_files import static_url

if TYPE_CHECKING:
    from jinja2 import Environment

SIGN_OUT = "/auth/sign-out"
FONT = "/static/inter-5.3.woff2"


@functools.cache
def _environment() -> Environment:
    # Later than the rest: a platform that starts shows no page yet.
    import aiohttp_jinja2
    from jinja2 import FileSystemLoader, StrictUndefined

    # The library keeps its environment in an application. The platform's belongs to no plugin,
    # so that the dashboard has one for its templates alone.
    environment = aiohttp_jinja2.setup(
        web.Application(),
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        filters=FILTERS,
        default_helpers=False,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals.update(static=static_url, sign_out=SIGN_OUT, font=FONT)
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
        values: what the template shows. `live` is how often the page is looked at again, in
            milliseconds; `refusal` is why something was not done.
    """
    field = Markup('<input type="hidden" name="csrf_token" value="{}">').format(caller.csrf or "")
    shown = {"live": 0, "refusal": None, "done": said(request), **values}
    text = (
        _environment().get_template(template).render(user=caller.user, csrf=field, nav=nav, **shown)
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
