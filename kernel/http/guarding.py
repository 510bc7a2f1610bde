"""Ask the guards of plugins before a request is served."""

from __future__ import annotations

import logging

from aiohttp import web

from helvetia.kernel.errors import PluginError
from helvetia.kernel.providers import plugin_call

from .context import CONTEXT

GUARD_HEADERS: web.RequestKey[dict[str, str]] = web.RequestKey("helvetia.guard_headers", dict)
_SECONDS = 1.0
_log = logging.getLogger(__name__)


async def pass_guards(request: web.Request, purpose: str) -> None:
    """Let every guard look at the request.

    Raises:
        HelvetiaError: one of them turns it away.
    """
    headers = request[GUARD_HEADERS] = {}
    for plugin, guard in request.app[CONTEXT].guards:
        try:
            async with plugin_call(plugin, "admit", _SECONDS):
                headers.update(await guard.admit(request, purpose))
        except PluginError as error:
            # A limit that is broken must not end the service that it protects.
            _log.warning("%s; the request is served", error)
