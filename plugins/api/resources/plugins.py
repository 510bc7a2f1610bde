"""Installed plugins, and whether their providers are usable here."""

from __future__ import annotations

import asyncio

from helvetia.kernel.http.access import Policy
from helvetia.kernel.http.context import Call
from helvetia.kernel.http.routing import Resource
from helvetia.plugins.api import schemas
from helvetia.plugins.api.pagination import PageQuery, page_of_all

resource = Resource("plugins")


@resource.get("/api/v1/plugins", policy=Policy.SIGNED_IN, summary="List plugins")
async def index(call: Call, query: PageQuery) -> schemas.Page[schemas.Plugin]:
    """List the installed plugins, the disabled and quarantined ones with their reason too."""
    providers: dict[str, list[str]] = {}
    for family in call.platform.providers.families:
        for entry in family.all():
            providers.setdefault(entry.plugin, []).append(f"{family.name}/{entry.name}")
    shown = [
        schemas.Plugin(
            name=plugin.name,
            distribution=plugin.distribution,
            version=plugin.version,
            status=plugin.status.value,
            reason=plugin.reason,
            hooks=plugin.hooks,
            providers=providers.get(plugin.name, []),
        )
        for plugin in call.platform.plugins
    ]
    return page_of_all(query, shown, key=lambda plugin: plugin.name)


@resource.get("/api/v1/checks", policy=Policy.OPERATOR, summary="Check providers")
async def checks(call: Call, query: PageQuery) -> schemas.Page[schemas.ProviderCheck]:
    """Ask every provider whether it is usable on this machine, and if not, why."""
    pairs = [
        (family, entry) for family in call.platform.providers.families for entry in family.all()
    ]
    found = await asyncio.gather(*(family.check(entry) for family, entry in pairs))
    shown = [
        schemas.ProviderCheck(
            family=family.name,
            name=entry.name,
            plugin=entry.plugin,
            ok=check.ok,
            reason=check.reason,
        )
        for (family, entry), check in zip(pairs, found, strict=True)
    ]
    return page_of_all(query, shown, key=lambda check: f"{check.family}/{check.name}")
