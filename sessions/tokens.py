"""The two tokens of a session: signed, and good for one use each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

from .models import utcnow

Keys = Mapping[str, bytes]
"""Keys to sign with by name; the first one signs, the others are good to read."""
ACCESS_LIFETIME = timedelta(minutes=10)
IDLE_LIFETIME = timedelta(days=14)
LONGEST_LIFETIME = timedelta(days=90)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pass:
    """What a browser is given of a session."""

    session_id: str
    access: str
    refresh: str


def issue(keys: Keys, id: str, generation: int) -> Pass:
    """Return what a browser is given of a generation of a session."""
    return Pass(
        session_id=id,
        access=_sign(keys, id, generation, "access", ACCESS_LIFETIME),
        refresh=_sign(keys, id, generation, "refresh", IDLE_LIFETIME),
    )


def read(keys: Keys, token: str, use: str) -> tuple[str, int] | None:
    """Return session and generation of a token; None if it is not good, or not any more."""
    import jwt

    if not token:
        return None
    try:
        claims = jwt.decode(
            token,
            keys[jwt.get_unverified_header(token)["kid"]],
            algorithms=["HS256"],
            audience=use,
            options={"require": ["sub", "gen", "aud", "exp"], "verify_iat": False},
        )
        return str(claims["sub"]), int(claims["gen"])
    except (jwt.InvalidTokenError, KeyError, TypeError, ValueError):
        return None


def _sign(keys: Keys, id: str, generation: int, use: str, lifetime: timedelta) -> str:
    import jwt

    name, key = next(iter(keys.items()))
    now = utcnow()
    claims = {"sub": id, "gen": generation, "aud": use, "iat": now, "exp": now + lifetime}
    return jwt.encode(claims, key, algorithm="HS256", headers={"kid": name})
