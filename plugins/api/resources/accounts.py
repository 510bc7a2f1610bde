"""The ways in which the caller signs in."""

from __future__ import annotations

import logging

from helvetia.kernel import accounts
from helvetia.kernel.errors import Conflict, HelvetiaError, NoProvider, NotFound
from helvetia.kernel.http.access import Policy
from helvetia.kernel.http.context import Call
from helvetia.kernel.http.routing import Resource
from helvetia.kernel.models import Account
from helvetia.kernel.providers import plugin_call
from helvetia.plugins.api import connecting, people, schemas
from helvetia.plugins.api.pagination import PageQuery, page_of_all

_SECONDS = 30.0
_log = logging.getLogger(__name__)
resource = Resource("accounts")


@resource.get("/api/v1/accounts", policy=Policy.SIGNED_IN, summary="List ways to sign in")
async def index(call: Call, query: PageQuery) -> schemas.Page[people.Account]:
    """List how the caller signs in. In a browser one more is connected, see `/auth`."""
    rows = await Account.filter(user_id=call.user.id).exclude(provider=accounts.SYSTEM)
    shown = [_shown(call, row) for row in rows]
    return page_of_all(query, shown, key=lambda one: one.provider)


@resource.delete(
    "/api/v1/accounts/{provider}",
    policy=Policy.SIGNED_IN,
    summary="Disconnect a way to sign in",
    status=204,
    errors=[Conflict, NotFound],
)
async def disconnect(call: Call, provider: str) -> None:
    """Sign in by it no more; what it has granted is revoked there. The last one stays."""
    subject = await connecting.disconnect(call.user, provider)
    try:
        entry = call.platform.providers.auth.get(provider)
        async with plugin_call(entry.plugin, f"{entry.name}.disconnected", _SECONDS):
            await entry.provider.disconnected(call.user.id, subject)
    except HelvetiaError as error:
        # The person is disconnected, whatever the other side says.
        _log.warning("disconnecting %s: %s", provider, error)


def _shown(call: Call, row: Account) -> people.Account:
    try:
        title = call.platform.providers.auth.get(row.provider).provider.title
    except NoProvider:
        title = row.provider
    return people.Account(provider=row.provider, title=title, connected_at=row.created_at)
