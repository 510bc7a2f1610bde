"""A service's hook, and a Git host that sends to it."""

from __future__ import annotations

import hashlib
import hmac
import json
from typing import Any

from http_support import Answer, World

URL = "https://git.example/app.git"
SHA = "a" * 40


def push(**more: Any) -> dict[str, Any]:
    return {
        "ref": "refs/heads/main",
        "before": "b" * 40,
        "after": SHA,
        "repository": {"id": 7, "clone_url": URL, "default_branch": "main"},
        "head_commit": {"id": SHA, "message": "change"},
        "commits": [{"id": SHA, "added": ["docs/a.md"], "modified": [], "removed": []}],
        **more,
    }


class Hook:
    """The hook of the service `web`, and a Git host that knows its secret."""

    def __init__(self, world: World, made: dict[str, Any]) -> None:
        self._world = world
        self.secret = made["secret"]
        self.path = made["url"].removeprefix(world.url)
        self.deploy_path = made["deploy_url"].removeprefix(world.url)
        self._count = 0

    async def send(
        self,
        payload: object = None,
        *,
        event: str | None = "push",
        key: str = "",
        raw: bytes | None = None,
        **headers: str,
    ) -> Answer:
        body = json.dumps(push() if payload is None else payload).encode() if raw is None else raw
        self._count += 1
        signed = hmac.new(self.secret.encode(), body, hashlib.sha256).hexdigest()
        sent = {
            "Content-Type": "application/json",
            "X-Hub-Signature-256": f"sha256={signed}",
            "X-GitHub-Delivery": key or f"delivery-{self._count}",
            **({"X-GitHub-Event": event} if event else {}),
            **{name.replace("_", "-"): value for name, value in headers.items()},
        }
        return await self._world.call("POST", self.path, who=None, data=body, headers=sent)


async def made(world: World, **body: Any) -> dict[str, Any]:
    answer = await world.post("/api/v1/services/web/webhook", body)
    assert answer.status == 201, answer.raw
    result: dict[str, Any] = answer.json
    return result
