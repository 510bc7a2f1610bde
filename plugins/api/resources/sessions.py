"""Browser sessions: see them, end them."""

from __future__ import annotations

from pydantic import Field

from helvetia.kernel.errors import Forbidden, NotFound
from helvetia.kernel.http.access import Policy
from helvetia.kernel.http.context import Call
from helvetia.kernel.http.routing import Resource
from helvetia.kernel.models import Session, utcnow
from helvetia.plugins.api import people, schemas, signed_in
from helvetia.plugins.api.inputs import Body
from helvetia.plugins.api.pagination import PageQuery, page_of_newest

resource = Resource("sessions")
_USER = Field(
    None, pattern=r"^[0-9a-f]{1,32}$", description="whose, by user id; for operators only"
)


class SessionsQuery(PageQuery):
    """Whose sessions."""

    user: str | None = _USER


class WhoseQuery(Body):
    """Whose sessions."""

    user: str | None = _USER


@resource.get("/api/v1/sessions", policy=Policy.SIGNED_IN, summary="List sessions")
async def index(call: Call, query: SessionsQuery) -> schemas.Page[people.Session]:
    """List the browser sessions of the caller, the newest first."""
    user_id = _whose(call, query.user)
    rows = Session.filter(user_id=user_id, expires_at__gt=utcnow())
    return await page_of_newest(query, rows, show=lambda row: _shown(call, row))


@resource.delete(
    "/api/v1/sessions/{session}",
    policy=Policy.SIGNED_IN,
    summary="End a session",
    status=204,
    errors=[NotFound],
)
async def end(call: Call, session: str) -> None:
    """Sign a browser out, at once; an operator may do so to anybody's."""
    rows = Session.filter(id=session)
    if not call.user.is_operator:
        rows = rows.filter(user_id=call.user.id)
    row = await rows.first() if session.isascii() and session.isalnum() else None
    if row is None:
        raise NotFound("there is no such session", hint="see `helvetia sessions list`")
    await signed_in.end(row.id)


@resource.delete("/api/v1/sessions", policy=Policy.SIGNED_IN, summary="Sign out everywhere")
async def end_all(call: Call, query: WhoseQuery) -> people.Ended:
    """End all browser sessions of the caller, this one too; tokens go on."""
    user_id = _whose(call, query.user)
    return people.Ended(ended=await signed_in.end_all(user_id))


def _whose(call: Call, user_id: str | None) -> str:
    if user_id is None or user_id == call.user.id:
        return call.user.id
    if not call.user.is_operator:
        raise Forbidden("only operators of the installation see the sessions of others")
    return user_id


def _shown(call: Call, row: Session) -> people.Session:
    return people.Session(
        id=row.id,
        user=row.user_id,
        created_at=row.created_at,
        last_seen_at=row.last_seen_at,
        expires_at=row.expires_at,
        address=row.address,
        browser=row.browser,
        is_current=row.id == call.caller.session_id,
    )
