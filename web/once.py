"""What a page shows once, behind the redirect that follows what was done.

It goes along in a sealed cookie that is used up by the page: reloading neither sends the form
again nor shows a secret again, whichever process answers.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from aiohttp import web

from helvetia import HelvetiaError
from helvetia.kernel.http import cookies

from .said import redirect
from .visit import Visit

_COOKIE = "helvetia_once"


def show_once(visit: Visit, path: str, **values: Any) -> web.HTTPSeeOther:
    """Return what leads to a page and has it show some values, in JSON's types."""
    answer = redirect(path)
    sealed = visit.platform.seal(json.dumps(values), place=_place(visit, path))
    cookies.give(visit.request, answer, _COOKIE, sealed)
    return answer


def shown_once(visit: Visit) -> Mapping[str, Any]:
    """Return what this page is to show now, and never again; empty if there is nothing."""
    sealed = cookies.cookie(visit.request, _COOKIE)
    try:
        text = visit.platform.unseal(sealed, place=_place(visit, visit.request.path))
    except (HelvetiaError, ValueError):
        # For another page, or nothing of ours.
        return {}
    _ = cookies.use_up(visit.request, _COOKIE)
    found: dict[str, Any] = json.loads(text)
    return found


def _place(visit: Visit, path: str) -> str:
    return f"web/once/{visit.caller.user.id}{path}"
