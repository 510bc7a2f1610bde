"""Begin and end browser sessions."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any

from tortoise.transactions import in_transaction

from helvetia.kernel import events
from helvetia.kernel.models import Session, User, utcnow
from helvetia.kernel.secrets import Vault
from helvetia.sessions import IDLE_LIFETIME, Pass, issue

from . import rights


async def begin(vault: Vault, user: User, visitor: Mapping[str, str]) -> Pass:
    """Begin a session; what no session needs any more is thrown away.

    Args:
        vault: signs its tokens.
        user: whose it is.
        visitor: address and browser, for its owner to know it again.
    """
    now = utcnow()
    await Session.filter(expires_at__lt=now).delete()
    async with in_transaction():
        values: dict[str, Any] = {
            "user_id": user.id,
            "csrf": secrets.token_urlsafe(32),
            "expires_at": now + IDLE_LIFETIME,
            "rotated_at": now,
            "last_seen_at": now,
            **visitor,
        }
        session = await Session.create(**values)
        await events.record("session.created", actor=user.id)
    return issue(vault.signing_keys("sessions"), session.id, session.generation)


async def end(session_id: str) -> None:
    """End a session; quiet if there is none."""
    async with in_transaction():
        if await Session.filter(id=session_id).delete():
            await events.record("session.ended", session=session_id)
    rights.ended()


async def end_all(user_id: str) -> int:
    """End all sessions of a person; return how many there were."""
    async with in_transaction():
        ended = await Session.filter(user_id=user_id).delete()
        await events.record("session.all-ended", count=str(ended), user=user_id)
    rights.ended()
    return ended
