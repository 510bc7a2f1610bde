"""Turn a session on by its refresh token, and find out copies of used ones."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

from .models import Session, utcnow
from .tokens import IDLE_LIFETIME, LONGEST_LIFETIME, Keys, Pass, issue, read

GRACE = timedelta(seconds=30)
"""For how long a refresh token that was just used is no sign of theft: tabs renew at once."""


class Copied(Exception):
    """A used token came again: the session was ended.

    Args:
        session: what it was.
    """

    def __init__(self, session: Session) -> None:
        super().__init__(session.id)
        self.session = session


async def renew(keys: Keys, refresh: str, visitor: Mapping[str, str]) -> Pass | None:
    """Use a refresh token up; None if it is not good any more.

    Of several requests with one token exactly one turns the session on; the others get what it
    got, as does a browser that never received it. A token that was used up and whose successor
    is in use can only be a copy: then the whole session ends.

    Args:
        keys: sign the tokens.
        refresh: the token.
        visitor: address and browser, by which the owner knows the session again.

    Raises:
        Copied: it was a copy.
    """
    known = read(keys, refresh, "refresh")
    session = await Session.get_or_none(id=known[0]) if known else None
    now = utcnow()
    if known is None or session is None or session.expires_at <= now:
        return None
    id, generation = known
    won = await Session.filter(id=id, generation=generation).update(
        generation=generation + 1,
        rotated_at=now,
        last_seen_at=now,
        expires_at=min(now + IDLE_LIFETIME, session.created_at + LONGEST_LIFETIME),
        **visitor,
    )
    if won:
        return issue(keys, id, generation + 1)
    session = await Session.get_or_none(id=id)
    if session is None or generation > session.generation:
        return None
    is_in_use = session.last_seen_at > session.rotated_at
    is_fresh = not is_in_use or now - session.rotated_at <= GRACE
    if generation == session.generation - 1 and is_fresh:
        return issue(keys, id, session.generation)
    await Session.filter(id=id).delete()
    raise Copied(session)
