"""API tokens: their clear text is shown once and kept nowhere."""

from __future__ import annotations

from datetime import timedelta

from tortoise.transactions import in_transaction

from helvetia.kernel import events, secrets
from helvetia.kernel.errors import NotFound
from helvetia.kernel.models import Token, TokenScope, User, utcnow

from . import rights


async def create(
    user: User,
    *,
    name: str,
    scope: TokenScope = TokenScope.ADMIN,
    expires_in_days: int | None = None,
) -> tuple[str, Token]:
    """Make an API token; return its clear text, which is kept nowhere, and the row."""
    clear = secrets.new_token("hv")
    expires_at = utcnow() + timedelta(days=expires_in_days) if expires_in_days else None
    async with in_transaction():
        token = await Token.create(
            user_id=user.id,
            name=name,
            digest=secrets.digest(clear),
            scope=scope,
            expires_at=expires_at,
        )
        await events.record(
            "token.created", actor=user.id, token=token.id, name=name, scope=scope.value
        )
    return clear, token


async def of(user: User) -> list[Token]:
    """Return the user's tokens that were not revoked, oldest first."""
    return await Token.filter(user_id=user.id, revoked_at=None).order_by("created_at", "id")


async def revoke(user: User, token_id: str) -> None:
    """Make one of the user's tokens worthless.

    Raises:
        NotFound: the user has no such token.
    """
    async with in_transaction():
        mine = Token.filter(id=token_id, user_id=user.id, revoked_at=None)
        if not await mine.update(revoked_at=utcnow()):
            raise NotFound(f"there is no token {token_id}", hint="see `helvetia token list`")
        await events.record("token.revoked", actor=user.id, token=token_id)
    rights.ended()
