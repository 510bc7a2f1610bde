"""What every endpoint that changes something leaves in the journal."""

from __future__ import annotations

from http_support import Answer, user

from helvetia.kernel.http.access import SAFE
from helvetia.kernel.http.routing import Endpoint
from helvetia.kernel.models import Event

WITHOUT_ENTRY = {
    "webhooks_take": "each delivery is kept itself, refused ones too; this one names no hook",
    "auth_complete_form": "nobody was let in",
}


async def assert_audited(endpoint: Endpoint, answer: Answer, who: str | None) -> None:
    """Look for who did it and where they asked from."""
    entries = await Event.filter(request_id=answer.headers["X-Request-Id"])
    if endpoint.method in SAFE or endpoint.name in WITHOUT_ENTRY or answer.status >= 400:
        assert not entries
        return
    assert entries, f"{endpoint.name} leaves no entry in the journal"
    for entry in entries:
        assert entry.address == "127.0.0.1"
        if who is not None:
            assert entry.actor == (await user(who)).id
        if endpoint.loaded:
            assert entry.team_id
            assert entry.service_id or endpoint.loaded == "team"
