"""Connect one more identity to a person, and take it away again.

That a sign-in was begun for this is kept by the browser, bound to its session.
"""

from __future__ import annotations

import time

from aiohttp import web
from tortoise.transactions import in_transaction

from helvetia.kernel import accounts, events
from helvetia.kernel.contracts.auth import Identity
from helvetia.kernel.errors import Conflict, HelvetiaError, NotFound
from helvetia.kernel.http import cookies
from helvetia.kernel.http.access import Caller
from helvetia.kernel.http.context import Call
from helvetia.kernel.models import Account, User

_COOKIE = "helvetia_connect"
_PLACE = "connect"
_SECONDS = 600


def remember(call: Call, response: web.StreamResponse, provider: str) -> None:
    """Note that this session wants an identity of a provider."""
    wanted = f"{call.caller.session_id} {provider} {time.time() + _SECONDS:.0f}"
    sealed = call.platform.seal(wanted, place=_PLACE)
    cookies.give(call.request, response, _COOKIE, sealed)


def is_meant(call: Call, caller: Caller, provider: str) -> bool:
    """Tell whether the session that comes back is the one that wanted it, a moment ago."""
    sealed = cookies.cookie(call.request, _COOKIE)
    if not sealed or caller.session_id is None:
        return False
    try:
        session_id, wanted, until = call.platform.unseal(sealed, place=_PLACE).split()
    except (HelvetiaError, ValueError):
        return False
    return (session_id, wanted) == (caller.session_id, provider) and time.time() < float(until)


def forget(request: web.Request, response: web.StreamResponse) -> None:
    """Forget it: it is done, or the person signs in anew."""
    if cookies.cookie(request, _COOKIE):
        cookies.forget(request, response, _COOKIE)


async def connect(user: User, provider: str, identity: Identity) -> None:
    """Let a proven identity be one more way in for somebody who is signed in.

    Raises:
        Conflict: the identity is somebody else's, or the person has another one of this kind.
    """
    await accounts.ensure_operator_team()
    async with in_transaction():
        await accounts.in_turn()
        if known := await accounts.find(provider, identity):
            if known.id != user.id:
                raise Conflict(f"{identity.name} signs in to another account here")
            return
        if await Account.exists(user_id=user.id, provider=provider):
            raise Conflict("another one is connected already", hint="disconnect that first")
        await Account.create(user_id=user.id, provider=provider, subject=identity.subject)
        await events.record("account.connected", actor=user.id, provider=provider)


async def disconnect(user: User, provider: str) -> str:
    """Take a way in from a person; return the subject it had.

    Raises:
        NotFound: the person has no such one.
        Conflict: it is the last one.
    """
    async with in_transaction():
        await accounts.in_turn()
        account = await Account.get_or_none(user_id=user.id, provider=provider)
        if account is None:
            raise NotFound("you do not sign in like this", hint="see `helvetia accounts`")
        if await Account.filter(user_id=user.id).count() == 1:
            raise Conflict("it is your last way to sign in", hint="connect another one first")
        await account.delete()
        await events.record("account.disconnected", actor=user.id, provider=provider)
    return account.subject
