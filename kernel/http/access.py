"""The one choke point: who asks, what they may do, and which rows they get to see.

Roles in the team that owns a service, each with the rights of the ones above it:

* viewer: reads services, deployments, logs, events, and the names of variables.
* member: creates and changes services; deploys, starts, stops, cancels; plans and uploads.
* admin: changes variables, domains and webhooks; deletes services; has members come and go.
* owner: makes and removes other owners.

An operator of the installation may do everything in every team. What belongs to a team of
which the caller is no member does not exist for them: 404, never 403.

A token may have a scope, which is less than its owner may: `read` is as viewer, `deploy` as
member. Neither may change what is the owner's own, such as tokens.
"""

from __future__ import annotations

import contextlib
import hmac
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from aiohttp import web
from tortoise.exceptions import OperationalError
from tortoise.expressions import Q

from helvetia import sessions
from helvetia.kernel import events, secrets
from helvetia.kernel.accounts import ensure_operator_team
from helvetia.kernel.database.rows import as_time, fetch
from helvetia.kernel.errors import Forbidden, NotFound, Unauthenticated
from helvetia.kernel.models import (
    Deployment,
    Role,
    Service,
    Session,
    Team,
    Token,
    TokenScope,
    User,
    utcnow,
)

from .bodies import read_form
from .context import CONTEXT
from .cookies import RENEWED, access_value, refresh_value
from .origin import require_same_origin, visitor


class Policy(StrEnum):
    """Who may call an endpoint."""

    PUBLIC = "public"
    SIGNED_IN = "signed-in"
    VIEWER = "viewer"
    MEMBER = "member"
    ADMIN = "admin"
    OPERATOR = "operator"

    @property
    def role(self) -> Role | None:
        """The least role in the team concerned; None if roles do not matter."""
        return {
            Policy.VIEWER: Role.VIEWER, Policy.MEMBER: Role.MEMBER, Policy.ADMIN: Role.ADMIN
        }.get(self)  # fmt: skip


_RANK = {Role.VIEWER: 0, Role.MEMBER: 1, Role.ADMIN: 2, Role.OWNER: 3}
SAFE = ("GET", "HEAD", "OPTIONS")
"""Methods that change nothing."""
_USED_EVERY = timedelta(minutes=1)
_NAME_OR_ID = re.compile(r"[a-z0-9-]{1,63}")
_ID_PREFIX = re.compile(r"[0-9a-f]{4,32}")
_ID_LENGTH = 16
# Of every request: one query each, the person's memberships beside the proof.
_PERSON = """
  p."id" AS "user_id", p."name", p."email", p."is_operator", m."team_id", m."role"
FROM "{table}" t
JOIN "user_account" p ON p."id" = t."user_id"
LEFT JOIN "membership" m ON m."user_id" = p."id"
WHERE t."{key}" = ?
ORDER BY m."created_at", m."id"
"""
_TOKEN = (
    'SELECT t."id", t."expires_at", t."revoked_at", t."last_used_at", t."scope",'
    + _PERSON.format(table="api_token", key="digest")
)
_SESSION = (
    'SELECT t."id", t."expires_at", t."csrf", t."generation", t."rotated_at", t."last_seen_at",'
    + _PERSON.format(table="session", key="id")
)
_LIMITS = {TokenScope.READ: Role.VIEWER, TokenScope.DEPLOY: Role.MEMBER}
# By it a request is known again, whose tokens may have run out while a socket stayed open.
_SESSION_ID: web.RequestKey[str] = web.RequestKey("helvetia.session_id", str)
_being_noted: set[str] = set()
_HINT = "send a token as `Authorization: Bearer hv_...`, or sign in"


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Who asks.

    Attributes:
        roles: role by team id, the oldest membership first.
        csrf: what changes made by a browser session must carry, None for a token.
        session_id: the browser session, None for a token.
        limit: the highest role that a token's scope leaves; None if it leaves everything.
    """

    user: User
    roles: Mapping[str, Role]
    csrf: str | None = None
    session_id: str | None = None
    limit: Role | None = None

    def may(self, needed: Role, team_id: str) -> bool:
        """Tell whether the caller has at least this role in a team."""
        if self.limit is not None and _RANK[needed] > _RANK[self.limit]:
            return False
        role = self.roles.get(team_id)
        return self.user.is_operator or (role is not None and _RANK[role] >= _RANK[needed])

    @property
    def visible_teams(self) -> list[str] | None:
        """The teams whose things the caller sees; None is all of them."""
        return None if self.user.is_operator else list(self.roles)

    async def home_team(self, needed: Role = Role.VIEWER) -> str:
        """Return the team in which the caller makes new things; "" if there is none.

        The oldest membership with the role that is needed; if there is none, the oldest.
        """
        if self.roles:
            fit = (team for team in self.roles if self.may(needed, team))
            return next(fit, next(iter(self.roles)))
        return (await ensure_operator_team()).id if self.user.is_operator else ""


CALLER: web.RequestKey[Caller] = web.RequestKey("helvetia.caller", Caller)
"""Where a plugin's page finds who asks."""
INVITED: web.RequestKey[bool] = web.RequestKey("helvetia.invited", bool)
"""Where an auth provider finds that whoever asks may have a new account."""


async def identify(request: web.Request) -> Caller | None:
    """Find out who asks; None if the request says nothing of it.

    Raises:
        Unauthenticated: it names a token that is not valid.
    """
    if (authorization := request.headers.get("Authorization")) is not None:
        return await _by_token(authorization)
    return await _by_session(request)


async def admit(request: web.Request, policy: Policy) -> Caller | None:
    """Let the request through if its caller may call such an endpoint at all.

    Raises:
        Unauthenticated: nobody is signed in.
        Forbidden: the caller may not, or the request was not made by our own pages.
    """
    if policy is Policy.PUBLIC:
        if request.method not in SAFE:
            require_same_origin(request)
        return None
    caller = await identify(request)
    if caller is None:
        raise Unauthenticated("nobody is signed in", hint=_HINT)
    await require_csrf(request, caller)
    if policy is Policy.OPERATOR and not caller.user.is_operator:
        raise Forbidden("only operators of the installation may do this")
    if policy is Policy.OPERATOR or (policy is Policy.SIGNED_IN and request.method not in SAFE):
        require_everything(caller)
    return caller


def require_everything(caller: Caller) -> None:
    """Refuse a token that may do less than its owner.

    Raises:
        Forbidden: it may.
    """
    if caller.limit is not None:
        raise Forbidden("the scope of this token does not allow it", hint="use another token")


async def require_csrf(request: web.Request, caller: Caller) -> None:
    """Refuse a change that a browser was made to send by another site.

    Raises:
        Forbidden: the CSRF token is missing or wrong, or the origin is another.
    """
    if caller.csrf is None or request.method in SAFE:
        return
    require_same_origin(request)
    given = request.headers.get("X-CSRF-Token")
    if given is None:
        given = (await read_form(request)).get("csrf_token")
    if not hmac.compare_digest((given or "").encode(errors="replace"), caller.csrf.encode()):
        raise Forbidden("the CSRF token is missing or wrong", hint="reload the page and try again")


async def load_team(caller: Caller, key: str, needed: Role) -> Team:
    """Return the team of a name or id.

    Raises:
        NotFound: the caller is in no such team.
        Forbidden: the caller's role there is too low.
    """
    query = Team.filter(_called(key))
    if (teams := caller.visible_teams) is not None:
        query = query.filter(id__in=teams)
    team = await query.first() if _NAME_OR_ID.fullmatch(key) else None
    if team is None:
        raise NotFound(f"there is no team {_shown(key)}", hint="see `helvetia teams`")
    require_role(caller, needed, team.id)
    return team


async def load_service(caller: Caller, key: str, needed: Role) -> Service:
    """Return the service of a name or id.

    Raises:
        NotFound: there is none in the caller's teams.
        Forbidden: the caller's role there is too low.
    """
    query = Service.filter(_called(key))
    if (teams := caller.visible_teams) is not None:
        query = query.filter(team_id__in=teams)
    service = await query.first() if _NAME_OR_ID.fullmatch(key) else None
    if service is None:
        raise NotFound(f"there is no service {_shown(key)}", hint="see `helvetia services`")
    require_role(caller, needed, service.team_id)
    return service


async def load_deployment(caller: Caller, key: str, needed: Role) -> Deployment:
    """Return the deployment, with its service, of an id or the beginning of one.

    Raises:
        NotFound: there is none in the caller's teams, or several begin so.
        Forbidden: the caller's role there is too low.
    """
    found: list[Deployment] = []
    if _ID_PREFIX.fullmatch(key):
        # A range, not LIKE, which cannot use the index. `g` follows the hexadecimal digits.
        ids = {"id": key} if len(key) >= _ID_LENGTH else {"id__gte": key, "id__lt": f"{key}g"}
        query = Deployment.filter(**ids)
        if (teams := caller.visible_teams) is not None:
            query = query.filter(service__team_id__in=teams)
        found = await query.select_related("service").limit(2)
    if len(found) > 1:
        raise NotFound(f"several deployments begin with {key}", hint="give more of the id")
    if not found:
        raise NotFound(
            f"there is no deployment {_shown(key)}", hint="see `helvetia deployments SERVICE`"
        )
    require_role(caller, needed, found[0].service.team_id)
    return found[0]


def require_role(caller: Caller, needed: Role, team_id: str) -> None:
    """Refuse a caller whose role in a team is too low.

    Raises:
        Forbidden: it is.
    """
    if not caller.may(needed, team_id):
        raise Forbidden(f"this needs the role {needed.value} in the team")


async def _by_token(authorization: str) -> Caller:
    scheme, _, clear = authorization.partition(" ")
    rows = []
    if scheme.lower() == "bearer" and clear.isascii():
        rows = await fetch(_TOKEN, secrets.digest(clear.strip()))
    now = utcnow()
    if not rows or rows[0]["revoked_at"] is not None or _is_over(rows[0], now):
        raise Unauthenticated("the token is not valid, or not any more", hint=_HINT)
    await _note_use(Token, rows[0]["id"], as_time(rows[0]["last_used_at"]), now)
    return _caller(rows, limit=_LIMITS.get(rows[0]["scope"]))


async def _note_use(
    kind: type[Token | Session], id: str, before: datetime | None, now: datetime
) -> None:
    # Absolute: a clock that was ahead must not keep it from being noted for as long.
    is_noted = before is not None and abs(now - before) <= _USED_EVERY
    # Of many requests at once only the first one waits for the write.
    if is_noted or id in _being_noted:
        return
    _being_noted.add(id)
    column = "last_used_at" if kind is Token else "last_seen_at"
    try:
        # Where the disk is full, what is only read stays readable.
        with contextlib.suppress(OperationalError):
            await kind.filter(id=id).update(**{column: now})
    finally:
        _being_noted.discard(id)


async def _by_session(request: web.Request) -> Caller | None:
    """Find out whose session it is; one whose access token has run out is renewed."""
    keys = request.app[CONTEXT].platform.vault.signing_keys("sessions")
    id, used = request.get(_SESSION_ID), None
    if id is None and (used := sessions.read(keys, access_value(request), "access")):
        id = used[0]
    if id is None and (value := refresh_value(request)):
        try:
            renewed = await sessions.renew(keys, value, visitor(request))
        except sessions.Copied as copied:
            await events.record("session.reused", actor=copied.session.user_id)
            return None
        if renewed is not None:
            id = renewed.session_id
            request[RENEWED] = renewed
    rows = await fetch(_SESSION, id) if id else []
    now = utcnow()
    if not rows or _is_over(rows[0], now):
        return None
    request[_SESSION_ID] = rows[0]["id"]
    if used is not None and used[1] == rows[0]["generation"]:
        seen, rotated = as_time(rows[0]["last_seen_at"]), as_time(rows[0]["rotated_at"])
        # The first use of what a renewal gave is noted at once: it makes its predecessor void.
        is_first = seen is not None and rotated is not None and seen <= rotated
        await _note_use(Session, rows[0]["id"], None if is_first else seen, now)
    return _caller(rows, csrf=rows[0]["csrf"], session_id=rows[0]["id"])


def _is_over(row: Mapping[str, Any], now: datetime) -> bool:
    until = as_time(row["expires_at"])
    return until is not None and until <= now


def _caller(rows: Sequence[Mapping[str, Any]], **proof: Any) -> Caller:
    """Make the caller of the rows of one proof, one row for each membership."""
    person = rows[0]
    user = User.construct(
        _saved_in_db=True,
        id=person["user_id"],
        name=person["name"],
        email=person["email"],
        is_operator=bool(person["is_operator"]),
    )
    roles = {row["team_id"]: Role(row["role"]) for row in rows if row["team_id"] is not None}
    return Caller(user=user, roles=roles, **proof)


def _called(key: str) -> Q:
    # A name may be longer than the column of ids, which then refuses to be asked.
    return Q(name=key) | Q(id=key) if len(key) <= _ID_LENGTH else Q(name=key)


def _shown(key: str) -> str:
    return key if _NAME_OR_ID.fullmatch(key) else "of that name"
