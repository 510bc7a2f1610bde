"""API tokens of the caller."""

from __future__ import annotations

from helvetia.kernel.errors import NotFound
from helvetia.kernel.http.access import Policy
from helvetia.kernel.http.context import Call
from helvetia.kernel.http.routing import Resource
from helvetia.kernel.models import Token, TokenScope
from helvetia.plugins.api import schemas, tokens
from helvetia.plugins.api.pagination import PageQuery, page_of_all

resource = Resource("tokens")


@resource.get("/api/v1/tokens", policy=Policy.SIGNED_IN, summary="List tokens")
async def index(call: Call, query: PageQuery) -> schemas.Page[schemas.Token]:
    """List the caller's tokens, without their secrets, oldest first."""
    shown = [_show(token) for token in await tokens.of(call.user)]
    return page_of_all(query, shown, key=lambda one: f"{one.created_at.isoformat()} {one.id}")


@resource.post("/api/v1/tokens", policy=Policy.SIGNED_IN, summary="Make a token", status=201)
async def create(call: Call, body: schemas.NewToken) -> schemas.Token:
    """Make a token with the caller's rights, or some of them. `token` is shown this once."""
    clear, token = await tokens.create(
        call.user,
        name=body.name,
        scope=TokenScope(body.scope),
        expires_in_days=body.expires_in_days,
    )
    return _show(token).model_copy(update={"token": clear})


@resource.delete(
    "/api/v1/tokens/{token}",
    policy=Policy.SIGNED_IN,
    summary="Revoke a token",
    status=204,
    errors=[NotFound],
)
async def revoke(call: Call, token: str) -> None:
    """Make a token of the caller's worthless at once."""
    if not token.isalnum() or not token.isascii():
        raise NotFound("there is no such token")
    await tokens.revoke(call.user, token)


def _show(token: Token) -> schemas.Token:
    return schemas.Token(
        id=token.id,
        name=token.name,
        scope=token.scope.value,
        created_at=token.created_at,
        expires_at=token.expires_at,
        last_used_at=token.last_used_at,
    )
