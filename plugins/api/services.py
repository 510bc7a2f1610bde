"""What people do to services. Only rows are written; workers and the reconciler act on them."""

from __future__ import annotations

import contextlib
import json
import re
from typing import Any

from tortoise.exceptions import IntegrityError
from tortoise.queryset import QuerySet
from tortoise.transactions import in_transaction

from helvetia.kernel import environment, events
from helvetia.kernel.errors import Conflict, Forbidden, InvalidInput
from helvetia.kernel.models import OPEN_STATES, Deployment, Desired, Service
from helvetia.kernel.pipeline import queue
from helvetia.kernel.platform import Platform

from . import shared
from .inputs import NewService, ServiceChange

RESERVED_NAMES = frozenset({"api", "helvetia", "www"})
"""Names that people expect to be the platform's own below the base domain."""

_PASSWORD = re.compile(r"[a-z][a-z0-9+.-]*://[^/]*:[^/]*@", re.IGNORECASE)
_LIKE_AN_ID = re.compile(r"[0-9a-f]{16}")


def may_name_paths(platform: Platform, *, is_operator: bool) -> bool:
    """Tell whether a person may name paths and hosts of this machine as a source."""
    return is_operator and platform.options.allow_local_sources


async def create(
    platform: Platform, new: NewService, *, team_id: str, actor: str, trusted: bool
) -> Service:
    """Create a service with its variables, all or nothing.

    Args:
        trusted: see `may_name_paths`.

    Raises:
        InvalidInput: the name or a variable is reserved.
        Conflict: the name is taken, whoever has it.
    """
    _check_name(new.name)
    check_source_text(new.source)
    try:
        async with in_transaction():
            service = await Service.create(
                team_id=team_id,
                name=new.name,
                type=new.type,
                source_url=new.source,
                source_ref=new.ref,
                source_trusted=trusted,
                settings=new.settings.model_dump(mode="json"),
            )
            await _record("service.created", service, actor, name=new.name)
            if new.environment:
                await environment.change(service, platform.vault, set=new.environment, actor=actor)
            await shared.give(service, platform.vault, actor=actor)
    except IntegrityError:
        raise Conflict(f"the name {new.name} is taken", hint="choose another name") from None
    return service


async def change(service: Service, wanted: ServiceChange, *, actor: str, trusted: bool) -> None:
    """Change what is set in `wanted`; it counts from the next deployment on.

    Whoever changes the source answers for it: from then on it is trusted as far as they are.

    Raises:
        InvalidInput: nothing is to be changed, or something is set to null that cannot be.
        Conflict: the service is being deleted.
    """
    values: dict[str, Any] = {}
    for field in sorted(wanted.model_fields_set):
        value = getattr(wanted, field)
        if value is None and field != "ref":
            raise InvalidInput(field, "cannot be null; leave it out to keep it")
        if field == "settings":
            values["settings"] = value.model_dump(mode="json")
        elif field == "source":
            check_source_text(value)
            values |= {"source_url": value, "source_trusted": trusted}
        else:
            values[{"ref": "source_ref"}.get(field, field)] = value
    if not values:
        raise InvalidInput("body", "names nothing to change")
    async with in_transaction():
        if not await _kept(service).update(**values):
            raise Conflict(f"service {service.name} is being deleted")
        fields = ", ".join(sorted(wanted.model_fields_set))
        was = {name: getattr(service, name) for name in values}
        await _record("service.changed", service, actor, fields=fields, **_differences(was, values))


def check_source_text(source: str) -> None:
    """Refuse a source that would show a secret to everybody who sees the service.

    Raises:
        InvalidInput: it holds a password or characters that no address has.
    """
    if not source.isprintable():
        raise InvalidInput("source", "holds characters that no address has")
    if _PASSWORD.match(source):
        raise InvalidInput(
            "source",
            "holds a password, which everybody who sees the service would see",
            hint="leave it out of the address",
        )


def check_source(service: Service, source: str, *, trusted: bool) -> None:
    """Refuse another source for one deployment if it would be trusted more than its author.

    Raises:
        InvalidInput: see `check_source_text`.
        Forbidden: the service's source was set by an operator, the author is none.
    """
    check_source_text(source)
    if service.source_trusted and not trusted and not source.startswith("upload:"):
        raise Forbidden(
            f"the source of {service.name} was set by an operator",
            hint="change the service's own source first",
        )


async def stop(service: Service, *, actor: str) -> None:
    """Want the service stopped and call its deployments off; the reconciler does the rest.

    Raises:
        Conflict: the service is being deleted.
    """
    if not await _want(service, Desired.STOPPED, "service.stop-requested", actor):
        raise Conflict(f"service {service.name} is being deleted")


async def delete(service: Service, *, actor: str) -> None:
    """Want the service gone for good; the reconciler does the rest. Doing it twice is fine."""
    await _want(service, Desired.DELETED, "service.delete-requested", actor)


def _check_name(name: str) -> None:
    if name in RESERVED_NAMES:
        raise InvalidInput("name", f"`{name}` is reserved for the platform")
    if name.startswith("xn--"):
        raise InvalidInput("name", "cannot begin with xn--, which stands for other letters")
    if _LIKE_AN_ID.fullmatch(name):
        raise InvalidInput("name", "looks like an id")


def _differences(before: dict[str, Any], after: dict[str, Any]) -> dict[str, str]:
    """Return what differs, in JSON, of settings each one for itself."""
    before, after = ({**values, **values.get("settings", {})} for values in (before, after))
    names = [name for name in after if name != "settings" and before.get(name) != after[name]]
    return {
        "before": json.dumps({name: before.get(name) for name in names}),
        "after": json.dumps({name: after[name] for name in names}),
    }


def _kept(service: Service) -> QuerySet[Service]:
    return Service.filter(id=service.id, desired__not=Desired.DELETED)


async def _want(service: Service, desired: Desired, event: str, actor: str) -> bool:
    async with in_transaction():
        if not await _kept(service).update(desired=desired):
            return False
        await _record(event, service, actor)
        # Those asked for before the wish: the row of the service is locked until its end.
        for deployment in await Deployment.filter(service_id=service.id, status__in=OPEN_STATES):
            # It may be live already.
            with contextlib.suppress(Conflict):
                await queue.cancel(deployment, actor=actor)
    return True


async def _record(kind: str, service: Service, actor: str, **data: str) -> None:
    await events.record(kind, actor=actor, team_id=service.team_id, service_id=service.id, **data)
