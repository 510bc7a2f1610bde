"""The one choke point: who asks, what they may do, and which rows they get to see.

Roles in the team that owns a service, each with the rights of the ones above it:

* viewer: reads services, deployments, logs, events, and the names of variables.
* member: creates and changes services; deploys, starts, stops, cancels; plans and uploads.
* admin: changes variables and domains; deletes services.
* owner: the same as admin today; owns the team.

An operator of the installation may do everything in every team. What belongs to a team of
which the caller is no member does not exist for them: 404, never 403.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

from aiohttp import web
from tortoise.expressions import Q

from helvetia.kernel import secrets
from helvetia.kernel.accounts import ensure_operator_team
from helvetia.kernel.errors import Forbidden, NotFound, Unauthenticated
from helvetia.kernel.models import (
    Deployment,
    Membership,
    Role,
    Service,
    Session,
    Token,
    User,
    utcnow,
)

from .bodies import read_form
from .cookies import session_value
from .origin import require_same_origin


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
_SAFE = ("GET", "HEAD", "OPTIONS")
_USED_EVERY = timedelta(minutes=1)
_NAME_OR_ID = re.compile(r"[a-z0-9-]{1,63}")
_ID_PREFIX = re.compile(r"[0-9a-f]{4,32}")
_ID_LENGTH = 16
_HINT = "send a token as `Authorization: Bearer hv_...`, or sign in"


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Who asks.

    Attributes:
        roles: role by team id, the oldest membership first.
        session: the browser session, None for a token.
    """

    user: User
    roles: Mapping[str, Role]
    session: Session | None = None

    def may(self, needed: Role, team_id: str) -> bool:
        """Tell whether the caller has at least this role in a team."""
        role = self.roles.get(team_id)
        return self.user.is_operator or (role is not None and _RANK[role] >= _RANK[needed])

    @property
    def visible_teams(self) -> list[str] | None:
        """The teams whose things the caller sees; None is all of them."""
        return None if self.user.is_operator else list(self.roles)

    async def home_team(self) -> str:
        """Return the team in which the caller makes new things; "" if there is none."""
        if self.roles:
            return next(iter(self.roles))
        return (await ensure_operator_team()).id if self.user.is_operator else ""


CALLER: web.RequestKey[Caller] = web.RequestKey("helvetia.caller", Caller)
"""Where a plugin's page finds who asks."""


async def identify(request: web.Request) -> Caller | None:
    """Find out who asks; None if the request says nothing of it.

    Raises:
        Unauthenticated: it names a token that is not valid.
    """
    if (authorization := request.headers.get("Authorization")) is not None:
        user, session = await _by_token(authorization), None
    elif value := session_value(request):
        session = await Session.get_or_none(
            digest=secrets.digest(value), expires_at__gt=utcnow()
        ).select_related("user")
        if session is None:
            return None
        user = session.user
    else:
        return None
    memberships = await Membership.filter(user_id=user.id).order_by("created_at", "id")
    roles = {membership.team_id: membership.role for membership in memberships}
    return Caller(user=user, roles=roles, session=session)


async def admit(request: web.Request, policy: Policy) -> Caller | None:
    """Let the request through if its caller may call such an endpoint at all.

    Raises:
        Unauthenticated: nobody is signed in.
        Forbidden: the caller may not, or the request was not made by our own pages.
    """
    if policy is Policy.PUBLIC:
        if request.method not in _SAFE:
            require_same_origin(request)
        return None
    caller = await identify(request)
    if caller is None:
        raise Unauthenticated("nobody is signed in", hint=_HINT)
    await require_csrf(request, caller)
    if policy is Policy.OPERATOR and not caller.user.is_operator:
        raise Forbidden("only operators of the installation may do this")
    return caller


async def require_csrf(request: web.Request, caller: Caller) -> None:
    """Refuse a change that a browser was made to send by another site.

    Raises:
        Forbidden: the CSRF token is missing or wrong, or the origin is another.
    """
    if caller.session is None or request.method in _SAFE:
        return
    require_same_origin(request)
    given = request.headers.get("X-CSRF-Token")
    if given is None:
        given = (await read_form(request)).get("csrf_token")
    if not hmac.compare_digest(
        (given or "").encode(errors="replace"), caller.session.csrf.encode()
    ):
        raise Forbidden("the CSRF token is missing or wrong", hint="reload the page and try again")


async def load_service(caller: Caller, key: str, needed: Role) -> Service:
    """Return the service of a name or id.

    Raises:
        NotFound: there is none in the caller's teams.
        Forbidden: the caller's role there is too low.
    """
    query = Service.filter(Q(id=key) | Q(name=key))
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


async def _by_token(authorization: str) -> User:
    scheme, _, clear = authorization.partition(" ")
    now = utcnow()
    token = None
    if scheme.lower() == "bearer" and clear.isascii():
        token = await Token.get_or_none(
            Q(expires_at=None) | Q(expires_at__gt=now),
            digest=secrets.digest(clear.strip()),
            revoked_at=None,
        ).select_related("user")
    if token is None:
        raise Unauthenticated("the token is not valid, or not any more", hint=_HINT)
    if token.last_used_at is None or now - token.last_used_at > _USED_EVERY:
        await Token.filter(id=token.id).update(last_used_at=now)
    return token.user


def _shown(key: str) -> str:
    return key if _NAME_OR_ID.fullmatch(key) else "of that name"
