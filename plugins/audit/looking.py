"""Find entries, and say the names of what they speak of."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tortoise.expressions import Q, Subquery
from tortoise.queryset import QuerySet

from helvetia.kernel.http.access import Caller
from helvetia.kernel.models import Event, Role, Service, Team, User

from .shapes import AuditEntry, Filter

_ID_LENGTH = 32  # a longer one is none, which a column of ids would say with an exception


def entries(caller: Caller, wanted: Filter) -> QuerySet[Event]:
    """Return the entries that a person asks for: everybody sees their own, admins those of their
    teams, operators all.
    """
    rows = Event.all()
    if not caller.user.is_operator:
        teams = [team for team in caller.roles if caller.may(Role.ADMIN, team)]
        rows = rows.filter(Q(actor=caller.user.id) | Q(team_id__in=teams))
    if wanted.team is not None:
        rows = rows.filter(_named(Team, "team_id", wanted.team))
    if wanted.service is not None:
        rows = rows.filter(_named(Service, "service_id", wanted.service))
    if wanted.actor is not None:
        rows = rows.filter(_named(User, "actor", wanted.actor))
    if wanted.kind is not None:
        kind = wanted.kind
        rows = rows.filter(Q(kind=kind) | Q(kind__startswith=f"{kind}."))
    if wanted.since is not None:
        rows = rows.filter(created_at__gte=wanted.since)
    if wanted.until is not None:
        rows = rows.filter(created_at__lt=wanted.until)
    return rows


async def shown(rows: Sequence[Event]) -> list[AuditEntry]:
    """Show entries, with three queries for the names however many they are."""
    people = await _names(User, (row.actor for row in rows))
    teams = await _names(Team, (row.team_id for row in rows))
    services = await _names(Service, (row.service_id for row in rows))
    return [
        AuditEntry(
            id=row.id,
            time=row.created_at,
            kind=row.kind,
            actor=row.actor,
            actor_name=people.get(row.actor, ""),
            address=row.address,
            request_id=row.request_id,
            team_id=row.team_id,
            team=teams.get(row.team_id or "", ""),
            service_id=row.service_id,
            service=services.get(row.service_id or "", ""),
            deployment_id=row.deployment_id,
            before=_fields(row.data, "before"),
            after=_fields(row.data, "after"),
            data={
                name: str(value)
                for name, value in row.data.items()
                if name not in ("before", "after") or not _fields(row.data, name)
            },
        )
        for row in rows
    ]


def _fields(data: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Read what a change was about; a plugin may mean something else by the same word."""
    try:
        fields = json.loads(str(data.get(name, "")))
    except ValueError:
        return {}
    return fields if isinstance(fields, dict) else {}


def _named(model: type[Team | Service | User], column: str, key: str) -> Q:
    """Match a column by the id itself or by the name of what has it."""
    named: dict[str, Any] = {f"{column}__in": Subquery(model.filter(name=key).values("id"))}
    match = Q(**named)
    return match | Q(**{column: key}) if len(key) <= _ID_LENGTH else match


async def _names(model: type[Team | Service | User], ids: Iterable[str | None]) -> dict[str, str]:
    wanted = {id for id in ids if id and len(id) <= _ID_LENGTH}
    found = await model.filter(id__in=wanted).only("id", "name") if wanted else []
    return {row.id: row.name for row in found}
