"""What people do to hostnames: parsed, never escaped, and proved before they are routed.

A wildcard, `*.` before a name, stands for one label. Whoever has such a name itself comes first,
and one team's wildcard and another's name below it are not both routed.
"""

from __future__ import annotations

import re
from datetime import timedelta

import idna
from tortoise.exceptions import IntegrityError
from tortoise.expressions import Q
from tortoise.transactions import in_transaction

from helvetia.kernel import events
from helvetia.kernel.domains import default_hostname
from helvetia.kernel.errors import Conflict, InvalidInput, NotFound
from helvetia.kernel.models import Desired, Domain, Service, utcnow
from helvetia.plugins.api.proofs import new_token

_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
_MAX_LENGTH = 253
_WILDCARD = "*."


def normalise(hostname: str, *, domain: str) -> str:
    """Return a hostname or a wildcard in lower-case ASCII form (IDNA).

    Args:
        hostname: as a person typed it.
        domain: the base domain; names below it are the services' own and given to nobody.

    Raises:
        InvalidInput: it is not a hostname that a service may have.
    """
    text = hostname.strip().removesuffix(".")
    prefix = _WILDCARD if text.startswith(_WILDCARD) else ""
    name = _ascii(text.removeprefix(prefix))
    labels = name.split(".")
    if len(prefix + name) > _MAX_LENGTH or not all(_LABEL.fullmatch(label) for label in labels):
        raise InvalidInput(
            "hostname", "has letters, digits and hyphens between dots, such as www.example.com"
        )
    # Browsers read any name whose last label is a number as an IPv4 address.
    if _NUMBER.fullmatch(labels[-1]):
        raise InvalidInput("hostname", "is an IP address; a name such as www.example.com is needed")
    if len(labels) < 2:
        raise InvalidInput("hostname", "needs a dot, such as www.example.com")
    if name == domain or name.endswith(f".{domain}"):
        raise InvalidInput(
            "hostname",
            f"names below {domain} come from the names of services",
            hint="give a name of a domain of your own",
        )
    return prefix + name


def is_wildcard(name: str) -> bool:
    """Tell whether a name in normal form stands for all names one label below another one."""
    return name.startswith(_WILDCARD)


async def add(
    service: Service, hostname: str, *, domain: str, actor: str, is_proved: bool
) -> Domain:
    """Give a service one more hostname, in normal form.

    Args:
        service: who gets it.
        hostname: as a person typed it.
        domain: the base domain.
        actor: who does it.
        is_proved: whether it is routed at once; else it is pending until `confirm`.

    Raises:
        InvalidInput: it is not a hostname that a service may have.
        Conflict: it is taken, whoever has it; or the service is being deleted.
    """
    name = normalise(hostname, domain=domain)
    try:
        async with in_transaction():
            if not await Service.exists(id=service.id, desired__not=Desired.DELETED):
                raise Conflict(f"service {service.name} is being deleted")
            if await Domain.exists(hostname=name, verified_at__not_isnull=True):
                raise _taken(name)
            await _refuse_overlap(service, name)
            row = await Domain.create(service_id=service.id, hostname=name, token=new_token())
            await _record("domain.added", service, actor, name)
    except IntegrityError:
        raise _taken(name) from None
    if is_proved:
        # Not in the transaction before: who confirms at the same time must see the row.
        await _route(service, row)
    return row


async def find(service: Service, hostname: str, *, domain: str) -> Domain:
    """Return a hostname that was added to a service, pending or verified.

    Raises:
        NotFound: the service does not have it.
    """
    try:
        name = normalise(hostname, domain=domain)
    except InvalidInput:
        raise NotFound(f"service {service.name} has no such hostname") from None
    row = await Domain.get_or_none(service_id=service.id, hostname=name)
    if row is None:
        raise _none(service, name)
    return row


async def forget_pending(service: Service, *, days: int) -> None:
    """Give up what was claimed so many days ago and never proved."""
    before = utcnow() - timedelta(days=days)
    for row in await Domain.filter(service_id=service.id, verified_at=None, created_at__lt=before):
        async with in_transaction():
            # It may have been proved at this very moment.
            if await Domain.filter(id=row.id, verified_at=None).delete():
                await _record("domain.expired", service, "domains", row.hostname)


async def confirm(service: Service, row: Domain, *, actor: str) -> None:
    """Have a hostname routed. Of several services that claim it, the first one gets it.

    Raises:
        NotFound: it was removed meanwhile.
        Conflict: another service has it.
    """
    await _route(service, row, actor=actor)


async def _route(service: Service, row: Domain, *, actor: str = "") -> None:
    now = utcnow()
    try:
        async with in_transaction():
            await _refuse_overlap(service, row.hostname)
            # The index on verified names decides between two that come here at once.
            if await Domain.filter(id=row.id, verified_at=None).update(verified_at=now):
                if actor:
                    await _record("domain.verified", service, actor, row.hostname)
            elif not await Domain.exists(id=row.id):
                raise _none(service, row.hostname)
    except IntegrityError:
        raise _taken(row.hostname) from None
    row.verified_at = now


async def _refuse_overlap(service: Service, name: str) -> None:
    """Refuse a name that another team's wildcard stands for, and a wildcard of another's name.

    Of two that come here at once the second waits for the first: both lock what they might be at
    odds with, each other's rows among it, in the same order.

    Raises:
        Conflict: it is so.
    """
    parent = name.partition(".")[2]
    overlap = Q(hostname__endswith=f".{parent}")
    if not is_wildcard(name):
        overlap = Q(hostname__in=(name, f"{_WILDCARD}{parent}"))
    for other in await Domain.filter(overlap).order_by("id").select_for_update():
        is_one_label = other.hostname.partition(".")[2] == parent
        is_at_odds = is_wildcard(name) != is_wildcard(other.hostname)
        if other.verified_at is None or not is_one_label or not is_at_odds:
            continue
        if not await Service.exists(id=other.service_id, team_id=service.team_id):
            raise _taken(name)


async def remove(service: Service, hostname: str, *, domain: str, actor: str) -> None:
    """Take a hostname from a service.

    Raises:
        NotFound: the service does not have it.
        Conflict: it is the one below the base domain, which stays.
    """
    name = hostname.strip().removesuffix(".").lower()
    if name == default_hostname(service, domain):
        raise Conflict(f"{name} belongs to the service itself and stays")
    row = await find(service, name, domain=domain)
    async with in_transaction():
        if not await Domain.filter(id=row.id).delete():
            raise _none(service, row.hostname)
        await _record("domain.removed", service, actor, row.hostname)


def _none(service: Service, name: str) -> NotFound:
    return NotFound(f"service {service.name} has no hostname {name}")


def _taken(name: str) -> Conflict:
    return Conflict(f"the hostname {name} is taken")


async def _record(kind: str, service: Service, actor: str, hostname: str) -> None:
    await events.record(
        kind, actor=actor, team_id=service.team_id, service_id=service.id, hostname=hostname
    )


def _ascii(name: str) -> str:
    if "*" in name:
        raise InvalidInput("hostname", "may have one `*`, alone before the first dot")
    if any(character in name for character in ":/[]@"):
        raise InvalidInput("hostname", "is a name alone, without scheme, port, path or address")
    try:
        return idna.encode(name.lower(), uts46=True, std3_rules=True).decode("ascii")
    except idna.IDNAError as error:
        raise InvalidInput("hostname", f"is not a legal name: {error}") from None
