"""Hostnames of services."""

from __future__ import annotations

import contextlib

from helvetia.kernel.domains import default_hostname
from helvetia.kernel.errors import Conflict, NoProvider
from helvetia.kernel.http.access import Policy
from helvetia.kernel.http.context import Call
from helvetia.kernel.http.routing import Resource
from helvetia.kernel.models import Domain, Service
from helvetia.plugins.api import certificates, domains, proofs, schemas
from helvetia.plugins.api.pagination import PageQuery, page_of_all
from helvetia.plugins.api.settings import DomainsSettings
from helvetia.plugins.api.views import Url, url_maker

_PATH = "/api/v1/services/{service}/domains"
resource = Resource("domains")


@resource.get(_PATH, policy=Policy.VIEWER, summary="List hostnames")
async def index(call: Call, service: Service, query: PageQuery) -> schemas.Page[schemas.Domain]:
    """List the hostnames of a service, its own below the base domain first."""
    await _forget_pending(call, service)
    url, own = await url_maker(call.platform), default_hostname(service, call.platform.domain)
    shown = [schemas.Domain(hostname=own, url=url(own), is_default=True)]
    shown += [_show(url, row) for row in await Domain.filter(service_id=service.id)]
    # The key begins with what sorts the default hostname first.
    return page_of_all(query, shown, key=lambda one: f"{not one.is_default:d}{one.hostname}")


@resource.post(_PATH, policy=Policy.ADMIN, summary="Add a hostname", status=201, errors=[Conflict])
async def add(call: Call, service: Service, body: schemas.NewDomain) -> schemas.Domain:
    """Claim one more hostname: traffic follows within seconds once it is verified.

    `*.` before one stands for all names one label below it; only a DNS record proves them. What
    an operator adds is verified at once. What is not proved for some days is forgotten.
    """
    await _forget_pending(call, service)
    if domains.is_wildcard(body.hostname.strip()):
        await _require_wildcards(call)
    row = await domains.add(
        service,
        body.hostname,
        domain=call.platform.domain,
        actor=call.user.id,
        is_proved=_needs_no_proof(call),
    )
    return _show(await url_maker(call.platform), row)


@resource.post(
    f"{_PATH}/{{hostname}}/verify",
    policy=Policy.ADMIN,
    summary="Verify a hostname",
    errors=[Conflict],
)
async def verify(call: Call, service: Service, hostname: str) -> schemas.Domain:
    """Look for the proof of a pending hostname now; `reason` says what is missing."""
    await _forget_pending(call, service)
    row = await domains.find(service, hostname, domain=call.platform.domain)
    reason = ""
    if row.verified_at is None:
        if not _needs_no_proof(call):
            settings = call.platform.section(DomainsSettings)
            reason = await proofs.why_not(row.hostname, row.token or "", settings)
        if not reason:
            await domains.confirm(service, row, actor=call.user.id)
    return _show(await url_maker(call.platform), row, reason)


@resource.get(
    f"{_PATH}/{{hostname}}/certificate",
    policy=Policy.VIEWER,
    summary="Show the certificate of a hostname",
)
async def certificate(call: Call, service: Service, hostname: str) -> schemas.Certificate:
    """Look what browsers are shown now: by whom and until when, or why there is none yet."""
    domain = call.platform.domain
    name = hostname.strip().removesuffix(".").lower()
    if name != default_hostname(service, domain):
        row = await domains.find(service, name, domain=domain)
        name = row.hostname
        if row.verified_at is None:
            return certificates.none("the hostname is pending: it leads nowhere yet")
    url = (await url_maker(call.platform))(name)
    return await certificates.look(name, url, edge=call.platform.edge[0])


@resource.delete(
    f"{_PATH}/{{hostname}}",
    policy=Policy.ADMIN,
    summary="Remove a hostname",
    status=204,
    errors=[Conflict],
)
async def remove(call: Call, service: Service, hostname: str) -> None:
    """Take a hostname from a service."""
    domain = call.platform.domain
    await domains.remove(service, hostname, domain=domain, actor=call.user.id)


async def _forget_pending(call: Call, service: Service) -> None:
    settings = call.platform.section(DomainsSettings)
    await domains.forget_pending(service, days=settings.pending_days)


async def _require_wildcards(call: Call) -> None:
    with contextlib.suppress(NoProvider):
        router = await call.platform.router()
        if "wildcards" not in router.provider.capabilities:
            raise Conflict(f"the router {router.name} leads no wildcards", hint="add each name")


def _needs_no_proof(call: Call) -> bool:
    """Operators own the machine, and with it what it answers to."""
    return call.user.is_operator or not call.platform.section(DomainsSettings).verify


def _show(url: Url, row: Domain, reason: str = "") -> schemas.Domain:
    is_pending = row.verified_at is None
    return schemas.Domain(
        hostname=row.hostname,
        url=url(row.hostname),
        is_default=False,
        state="pending" if is_pending else "verified",
        reason=reason,
        proof=proofs.proof_of(row.hostname, row.token or "") if is_pending else None,
    )
