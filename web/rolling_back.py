"""What a rollback would change, asked before it is done."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from helvetia import InvalidInput
from helvetia.kernel.environment import current
from helvetia.kernel.errors import NotFound
from helvetia.kernel.models import Release, Role, Service

from .acts import Question, question
from .fields import label
from .filters import first_line, short
from .service_page import load
from .visit import Visit


@dataclass(frozen=True, slots=True)
class Change:
    """One thing that will be another, or not at all."""

    what: str
    before: str
    after: str


async def ask(visit: Visit) -> web.Response:
    """Show what a rollback changes, and ask whether to do it."""
    service = await load(visit, Role.MEMBER)
    wanted = await _release(service, visit.request.query.get("release", ""))
    live = await Release.get_or_none(id=service.live_release_id or "")
    path = f"/services/{service.name}"
    asked = Question(
        title=f"Roll {service.name} back to r{wanted.number}?",
        lines=(
            "What was built then starts beside the present version, and takes over once it is"
            " healthy. Nothing is built; no request is dropped.",
        ),
        label=f"Roll back to r{wanted.number}",
        action=f"{path}/rollback",
        back=f"{path}/releases",
        destroys=False,
        fields={"release": str(wanted.number)},
        template="rollback.html",
        more={"changes": await _changes(service, live, wanted)},
    )
    return question(visit, asked)


async def _release(service: Service, number: str) -> Release:
    if not number.isdecimal() or len(number) > 9:
        raise InvalidInput("release", "must be the number of a release")
    found = await Release.get_or_none(service_id=service.id, number=int(number))
    if found is None:
        raise NotFound(f"service {service.name} has no release {number}")
    return found


async def _changes(service: Service, live: Release | None, wanted: Release) -> list[Change]:
    changes = []
    if live is None:
        return [Change("Release", "", _told(wanted))]
    if live.artifact.get("digest") != wanted.artifact.get("digest") or live.sha != wanted.sha:
        changes.append(Change("Code", _told(live), _told(wanted)))
    changes += await _variables(service, live, wanted)
    before, after = _flat(live.configuration), _flat(wanted.configuration)
    for name in sorted({**before, **after}):
        if before.get(name) != after.get(name):
            changes.append(Change(label(name), before.get(name, ""), after.get(name, "")))
    return changes


async def _variables(service: Service, live: Release, wanted: Release) -> list[Change]:
    if live.environment_version == wanted.environment_version:
        return []
    before = await current(service.id, live.environment_version)
    after = await current(service.id, wanted.environment_version)
    changes = []
    for name in sorted({**before, **after}):
        if name not in after:
            changes.append(Change(f"Variable {name}", "is set", "is not set"))
        elif name not in before:
            changes.append(Change(f"Variable {name}", "is not set", "is set"))
        elif before[name].version != after[name].version:
            old, new = before[name].version, after[name].version
            changes.append(Change(f"Variable {name}", f"value {old}", f"value {new}"))
    return changes


def _told(release: Release) -> str:
    return f"r{release.number} {short(release.sha)} {first_line(release.message)}".strip()


def _flat(values: Mapping[str, Any]) -> dict[str, str]:
    return {name: text for name, text in _walk(values, "") if text}


def _walk(values: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, str]]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _walk(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", "" if value in (None, "", [], {}) else str(value)
