"""Hostnames of services."""

from __future__ import annotations

from helvetia.kernel.domains import hostnames
from helvetia.kernel.errors import Conflict
from helvetia.kernel.http.access import Policy
from helvetia.kernel.http.context import Call
from helvetia.kernel.http.routing import Resource
from helvetia.kernel.models import Service
from helvetia.plugins.api import domains, schemas
from helvetia.plugins.api.pagination import PageQuery, page_of_all
from helvetia.plugins.api.views import url_maker

_PATH = "/api/v1/services/{service}/domains"
resource = Resource("domains")


@resource.get(_PATH, policy=Policy.VIEWER, summary="List hostnames")
async def index(call: Call, service: Service, query: PageQuery) -> schemas.Page[schemas.Domain]:
    """List the hostnames of a service, its own below the base domain first."""
    url = await url_maker(call.platform)
    names = await hostnames(service, call.platform.domain)
    shown = [
        schemas.Domain(hostname=name, url=url(name), is_default=place == 0)
        for place, name in enumerate(names)
    ]
    # The key begins with what sorts the default hostname first.
    return page_of_all(query, shown, key=lambda one: f"{not one.is_default:d}{one.hostname}")


@resource.post(_PATH, policy=Policy.ADMIN, summary="Add a hostname", status=201, errors=[Conflict])
async def add(call: Call, service: Service, body: schemas.NewDomain) -> schemas.Domain:
    """Give a service one more hostname; traffic follows within seconds."""
    platform = call.platform
    name = await domains.add(service, body.hostname, domain=platform.domain, actor=call.user.id)
    return schemas.Domain(hostname=name, url=(await url_maker(platform))(name), is_default=False)


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
