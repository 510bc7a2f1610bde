"""What people do with the credentials of a repository."""

from __future__ import annotations

from tortoise.transactions import in_transaction

from helvetia import Call, InvalidInput, Policy, Resource
from helvetia.kernel import events
from helvetia.kernel.errors import Conflict, NoProvider, NotFound
from helvetia.kernel.models import Service
from helvetia.kernel.pipeline.planning import choose_source

from . import keeping, shapes
from .models import Credentials

_PATH = "/api/v1/services/{service}/credentials"
_SOURCE = "git"
resource = Resource("credentials")


@resource.get(
    _PATH, policy=Policy.VIEWER, summary="Show the credentials of the source", errors=[NotFound]
)
async def show(call: Call, service: Service) -> shapes.Credentials:
    """Show what the repository of a service is read with, never the secret itself."""
    return _shown(service, await _found(service))


@resource.post(
    _PATH,
    policy=Policy.ADMIN,
    summary="Give credentials for the source",
    status=201,
    errors=[Conflict],
)
async def give(call: Call, service: Service, body: shapes.NewCredentials) -> shapes.Credentials:
    """Have the repository of a service read with a password or a key, from the next deployment on.

    They are used for the present repository alone: after a change of the source they must be
    given again. Former ones are forgotten.
    """
    pins = service.settings.get("providers") or {}
    try:
        source = choose_source(call.platform, service.source_url, pins)[0].name
    except NoProvider:
        source = "no source that is installed"
    if source != _SOURCE:
        raise Conflict(
            f"the source of {service.name} is read by {source}, which takes no credentials",
            hint="see `helvetia github connect` for repositories at GitHub",
        )
    made = await keeping.give(call.platform, service, body, actor=call.user.id)
    return _shown(service, made)


@resource.delete(
    _PATH,
    policy=Policy.ADMIN,
    summary="Remove the credentials of the source",
    status=204,
    errors=[NotFound],
)
async def remove(call: Call, service: Service) -> None:
    """Forget what the repository of a service is read with."""
    async with in_transaction():
        if not await Credentials.filter(service_id=service.id).delete():
            raise _none(service)
        await events.record(
            "credentials.removed",
            actor=call.user.id,
            team_id=service.team_id,
            service_id=service.id,
        )


async def _found(service: Service) -> Credentials:
    found = await Credentials.get_or_none(service_id=service.id)
    if found is None:
        raise _none(service)
    return found


def _none(service: Service) -> NotFound:
    return NotFound(
        f"no credentials were given for the source of {service.name}",
        hint=f"give some with `helvetia credentials {service.name} give`",
    )


def _shown(service: Service, found: Credentials) -> shapes.Credentials:
    try:
        is_used = keeping.repository(service.source_url) == found.address
    except InvalidInput:
        is_used = False
    return shapes.Credentials.model_validate(
        {
            "kind": found.kind,
            "repository": found.address,
            "is_used": is_used,
            "username": found.username,
            "public_key": found.public_key,
            "created_at": found.created_at,
        }
    )
