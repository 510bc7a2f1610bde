"""What GitHub remembers of the webhooks it has sent, and how it is asked for it.

Each attempt has an id of its own; all attempts at one event have its guid. The list leaves out what
was sent and answered, and goes on by a cursor.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

from aiohttp import web

KEPT = timedelta(days=3)


class Deliveries:
    """Of one webhook."""

    def __init__(self) -> None:
        self.items: list[dict[str, Any]] = []

    def add(
        self,
        id: int,
        *,
        guid: str,
        event: str,
        payload: dict[str, Any],
        status: int,
        config: dict[str, Any],
        redelivery: bool,
    ) -> None:
        """Remember an attempt."""
        self.items.insert(
            0,
            {
                "id": id,
                "guid": guid,
                "delivered_at": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
                "redelivery": redelivery,
                "duration": 0.1,
                "status": "OK" if 200 <= status < 300 else "failed to connect to host",
                "status_code": status,
                "event": event,
                "action": payload.get("action"),
                "installation_id": (payload.get("installation") or {}).get("id"),
                "repository_id": (payload.get("repository") or {}).get("id"),
                "throttled_at": None,
                "request": {"headers": {"X-GitHub-Delivery": guid}, "payload": payload},
                "response": {"headers": {}, "payload": ""},
                "config": config,
            },
        )

    def page(self, request: web.Request) -> web.Response:
        """Answer a request for the list."""
        size = min(int(request.query.get("per_page", 30)), 100)
        begin = int(request.query.get("cursor", 0))
        if "page" in request.query:
            return web.json_response({"message": "this list has a cursor"}, status=422)
        hidden = ("request", "response", "config")
        shown = [
            {name: value for name, value in one.items() if name not in hidden}
            for one in self.items[begin : begin + size]
        ]
        headers = {}
        if begin + size < len(self.items):
            there = request.url.update_query(cursor=begin + size)
            headers["Link"] = f'<{there}>; rel="next"'
        return web.Response(
            body=json.dumps(shown).encode(), headers=headers, content_type="application/json"
        )

    def get(self, id: int) -> dict[str, Any] | None:
        """Return an attempt."""
        return next((one for one in self.items if one["id"] == id), None)


def shown(one: dict[str, Any]) -> dict[str, Any]:
    """An attempt as GitHub shows it."""
    return {name: value for name, value in one.items() if name != "config"}


def is_too_old(one: dict[str, Any]) -> bool:
    """Tell whether GitHub would not deliver it again."""
    return datetime.now(UTC) - datetime.fromisoformat(one["delivered_at"]) > KEPT
