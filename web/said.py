"""What a page says of what was just done: by a name in the address, never by text in it."""

from __future__ import annotations

from aiohttp import web

_SAID = {
    "environment": "Saved. It counts from the next deployment or restart on.",
    "settings": "Saved. It counts from the next deployment on.",
    "domain-added": "The hostname was added.",
    "domain-removed": "The hostname was removed.",
    "domain-verified": "The hostname is verified. Traffic follows within seconds.",
    "stopped": "The service is being stopped.",
    "cache": "The build cache was cleared.",
    "deleted": "The service is being deleted with everything it has.",
    "webhook-removed": "The webhook was removed. No delivery is taken any more.",
    "revoked": "The token is worthless from now on.",
    "session-ended": "The session was ended.",
    "disconnected": "It is disconnected.",
    "preview-removed": "The preview is being removed.",
    "previews": "Saved. It counts from the next pull request on.",
    "previews-off": "The previews are switched off, and are being removed.",
    "plugin": "Noted. It counts from the next start of the platform on.",
    "channel": "Saved. It counts from the next trouble on.",
    "channel-removed": "The channel was removed.",
    "tested": "A test is on its way. What becomes of it stands below.",
    "member": "The team was changed.",
    "left": "You are not in the team any more.",
    "team-deleted": "The team was deleted.",
    "team-variables": "Saved. It counts for each service from its next deployment or restart on.",
    "credentials": "Saved. They are used from the next deployment on.",
    "credentials-removed": "They are forgotten.",
    "webhook-paths": "Saved. It counts from the next push on.",
}


def redirect(path: str, done: str = "") -> web.HTTPSeeOther:
    """Return what leads to a page after something was done, and has it say so."""
    if not done:
        return web.HTTPSeeOther(path)
    assert done in _SAID
    path, _, fragment = path.partition("#")
    joint = "&" if "?" in path else "?"
    return web.HTTPSeeOther(f"{path}{joint}done={done}{'#' + fragment if fragment else ''}")


def said(request: web.Request) -> str:
    """Return what is to be said on this page; empty if nothing is."""
    return _SAID.get(request.query.get("done", ""), "")
