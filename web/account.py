"""What belongs to the person who is signed in: tokens and sessions."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from .acts import Question, question
from .once import show_once, shown_once
from .said import redirect
from .visit import REFUSALS, Refusal, Visit

_TOKENS = "/api/v1/tokens"
_SESSIONS = "/api/v1/sessions"
_ACCOUNTS = "/api/v1/accounts"
_NAV = "account"


async def show(visit: Visit) -> web.Response:
    """Show tokens and sessions, and a token that was just made."""
    return await _show(visit, made=shown_once(visit).get("token", ""))


async def create_token(visit: Visit) -> web.StreamResponse:
    """Make a token, which the page then shows once."""
    form = await visit.form()
    days = form.get("expires_in_days", "").strip()
    body: dict[str, Any] = {"name": form.get("name", "").strip()}
    body |= {"expires_in_days": days} if days else {}
    body |= {"scope": form["scope"]} if form.get("scope") else {}
    try:
        made = await visit.ask("POST", _TOKENS, body=body)
    except REFUSALS as error:
        return await _show(visit, refusal=visit.refusal(error), typed=dict(form))
    raise show_once(visit, "/account", token=made.token)


async def ask_revoke(visit: Visit) -> web.Response:
    """Ask whether to revoke a token."""
    token = visit.part("token")
    lines = ("Programs that use it are turned away from the next request on.",)
    asked = Question(title="Revoke this token?", lines=lines, label="Revoke it",
                     action=f"/account/tokens/{token}/revoke", back="/account")  # fmt: skip
    return question(visit, asked, nav=_NAV)


async def revoke(visit: Visit) -> web.StreamResponse:
    """Revoke a token."""
    await visit.ask("DELETE", f"{_TOKENS}/{{token}}", token=visit.part("token"))
    raise redirect("/account", "revoked")


async def ask_end_session(visit: Visit) -> web.Response:
    """Ask whether to sign a browser out."""
    session = visit.part("session")
    lines = ("That browser is signed out with its next request.",)
    asked = Question(title="End this session?", lines=lines, label="End it",
                     action=f"/account/sessions/{session}/end", back="/account")  # fmt: skip
    return question(visit, asked, nav=_NAV)


async def end_session(visit: Visit) -> web.StreamResponse:
    """Sign a browser out."""
    await visit.ask("DELETE", f"{_SESSIONS}/{{session}}", session=visit.part("session"))
    raise redirect("/account", "session-ended")


async def ask_end_all(visit: Visit) -> web.Response:
    """Ask whether to sign out everywhere."""
    lines = ("All your browsers are signed out, this one too. API tokens go on.",)
    asked = Question(title="Sign out everywhere?", lines=lines, label="Sign out everywhere",
                     action="/account/sessions/end", back="/account")  # fmt: skip
    return question(visit, asked, nav=_NAV)


async def end_all(visit: Visit) -> web.StreamResponse:
    """Sign out everywhere."""
    await visit.ask("DELETE", _SESSIONS)
    raise redirect("/")


async def ask_disconnect(visit: Visit) -> web.Response:
    """Ask whether to sign in by something no more."""
    provider = visit.part("provider")
    lines = (f"You cannot sign in by {provider} any more. What it has granted is given back.",)
    asked = Question(title=f"Disconnect {provider}?", lines=lines, label="Disconnect it",
                     action=f"/account/{provider}/disconnect", back="/account")  # fmt: skip
    return question(visit, asked, nav=_NAV)


async def disconnect(visit: Visit) -> web.StreamResponse:
    """Sign in by something no more."""
    provider = visit.part("provider")
    try:
        await visit.ask("DELETE", f"{_ACCOUNTS}/{{provider}}", provider=provider)
    except REFUSALS as error:
        return await _show(visit, refusal=visit.refusal(error))
    raise redirect("/account", "disconnected")


async def _show(
    visit: Visit,
    *,
    made: str = "",
    refusal: Refusal | None = None,
    typed: dict[str, str] | None = None,
) -> web.Response:
    cursor = visit.request.query.get("cursor")
    tokens = await visit.ask("GET", _TOKENS, query={"limit": 100, "cursor": cursor})
    sessions = await visit.ask_if_there("GET", _SESSIONS, query={"limit": 100})
    accounts = await visit.ask_if_there("GET", _ACCOUNTS)
    connected = accounts.items if accounts else []
    known = {one.provider for one in connected}
    return visit.show(
        "account.html",
        nav=_NAV,
        status=refusal.status if refusal else 200,
        refusal=refusal,
        errors=refusal.fields if refusal else {},
        typed=typed or {},
        tokens=tokens.items,
        more_tokens=tokens.next,
        sessions=sessions.items if sessions else [],
        accounts=connected,
        others=[e.provider for e in visit.platform.providers.auth.all() if e.name not in known],
        made=made,
    )
