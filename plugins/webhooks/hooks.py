"""The hooks that were asked for lately, so that not each delivery has to read its own."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from helvetia.kernel.database.rows import fetch
from helvetia.kernel.errors import NotFound
from helvetia.kernel.secrets import Vault

from .models import Webhook

_HOOK = """
SELECT "id", "service_id", "secret", CAST("paths" AS TEXT) AS "paths", "repository_id"
FROM "webhook" WHERE "id" = ?
"""
_MOST = 1024
_COLUMNS = ("id", "service_id", "secret", "repository_id")


class Changed(Exception):
    """A hook has another secret by now than the one that was remembered, or is gone."""


class Found(NamedTuple):
    """A hook.

    Attributes:
        secret: the one with which its host signs, in clear.
        is_remembered: it was read earlier. Whoever acts on it compares it with what it is by then.
    """

    hook: Webhook
    secret: str
    is_remembered: bool


_remembered: dict[str, Found] = {}


async def find(id: str, vault: Vault, *, anew: bool) -> Found:
    """Return a hook.

    Args:
        id: of the hook.
        vault: opens its secret.
        anew: read it, even if it is remembered.

    Raises:
        NotFound: there is none.
    """
    if not anew and (found := _remembered.get(id)):
        return found
    _remembered.pop(id, None)
    rows = await fetch(_HOOK, id) if id.isalnum() and id.isascii() else []
    if not rows:
        raise NotFound("there is no such hook")
    hook = hook_of(rows[0])
    found = Found(hook, vault.decrypt(hook.secret, place=place(hook.service_id)), False)
    if len(_remembered) >= _MOST:
        _remembered.clear()
    _remembered[id] = found._replace(is_remembered=True)
    return found


def hook_of(row: Mapping[str, Any]) -> Webhook:
    """Make a hook of its columns, of which `paths` is JSON."""
    paths = json.loads(row["paths"])
    return Webhook.construct(**{name: row[name] for name in _COLUMNS}, paths=paths)


def place(service_id: str) -> str:
    """Return the place that a secret is bound to."""
    return Webhook.sealed_places["secret"].format(service_id=service_id)
