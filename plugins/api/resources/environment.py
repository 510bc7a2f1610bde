"""Environment variables: written here, never read back."""

from __future__ import annotations

from helvetia.kernel import environment
from helvetia.kernel.errors import Conflict, InvalidInput
from helvetia.kernel.http.access import Policy
from helvetia.kernel.http.context import Call
from helvetia.kernel.http.routing import Resource
from helvetia.kernel.models import Desired, Release, Service, Team
from helvetia.plugins.api import inputs, people, schemas, shared
from helvetia.plugins.api.models import SharedVariable
from helvetia.plugins.api.pagination import PageQuery, page_of_all

_PATH = "/api/v1/services/{service}/environment"
_TEAM = "/api/v1/teams/{team}/environment"
resource = Resource("environment")


@resource.get(_PATH, policy=Policy.VIEWER, summary="List variables")
async def index(call: Call, service: Service, query: PageQuery) -> schemas.Page[schemas.Variable]:
    """List the names of a service's variables; values are never given back."""
    variables = await _variables(service.id, service.environment_version)
    return page_of_all(query, variables, key=lambda one: one.name)


@resource.patch(_PATH, policy=Policy.ADMIN, summary="Change variables", errors=[Conflict])
async def change(
    call: Call, service: Service, body: inputs.EnvironmentChange
) -> schemas.Page[schemas.Variable]:
    """Set and unset variables, all or nothing, from the next deployment on."""
    if service.desired is Desired.DELETED:
        raise Conflict(f"service {service.name} is being deleted")
    if not body.set and not body.unset and not body.scopes:
        raise InvalidInput("set", "names nothing to change")
    try:
        version = await environment.change(
            service,
            call.platform.vault,
            set=body.set,
            unset=body.unset,
            scopes=body.scopes,
            actor=call.user.id,
        )
    except InvalidInput as error:
        raise _as_written(error, body) from None
    return schemas.Page(items=await _variables(service.id, version))


@resource.get(
    f"{_PATH}/diff", policy=Policy.VIEWER, summary="Compare variables with the live release"
)
async def diff(call: Call, service: Service) -> schemas.EnvironmentDiff:
    """Tell by names which variables the next deployment changes."""
    release = await Release.get_or_none(id=service.live_release_id)
    before = release.environment_version if release else 0
    old = await environment.current(service.id, before)
    new = await environment.current(service.id, service.environment_version)
    return schemas.EnvironmentDiff(
        release=release.number if release else None,
        release_version=before,
        version=service.environment_version,
        added=[name for name in new if name not in old],
        changed=[
            name for name, row in new.items() if name in old and row.version > old[name].version
        ],
        removed=[name for name in old if name not in new],
    )


@resource.get(_TEAM, policy=Policy.VIEWER, summary="List variables that services share")
async def of_team(call: Call, team: Team, query: PageQuery) -> schemas.Page[people.SharedVariable]:
    """List the names of variables that all services of a team get."""
    return page_of_all(query, await _shared(team), key=lambda one: one.name)


@resource.patch(_TEAM, policy=Policy.ADMIN, summary="Change variables that services share")
async def change_of_team(
    call: Call, team: Team, body: inputs.EnvironmentChange
) -> schemas.Page[people.SharedVariable]:
    """Set and unset variables in all services of a team, from their next deployments on.

    What a service sets itself wins, and is left alone. New services get them too.
    """
    if not body.set and not body.unset and not body.scopes:
        raise InvalidInput("set", "names nothing to change")
    try:
        await shared.change(
            team,
            call.platform.vault,
            set=body.set,
            unset=body.unset,
            scopes=body.scopes,
            actor=call.user.id,
        )
    except InvalidInput as error:
        raise _as_written(error, body) from None
    return schemas.Page(items=await _shared(team))


def _as_written(error: InvalidInput, body: inputs.EnvironmentChange) -> InvalidInput:
    """Name the field as the caller wrote it."""
    name = error.field.removeprefix("environment.")
    field = f"set.{name}" if name in body.set else f"unset.{name}"
    if name.startswith("scopes."):
        field = name
    return InvalidInput(field, error.reason, hint=error.hint)


async def _shared(team: Team) -> list[people.SharedVariable]:
    rows = await SharedVariable.filter(team_id=team.id).order_by("name")
    return [
        people.SharedVariable.model_validate(
            {"name": row.name, "scopes": row.scopes.split(), "updated_at": row.created_at}
        )
        for row in rows
    ]


async def _variables(service_id: str, version: int) -> list[schemas.Variable]:
    rows = await environment.current(service_id, version)
    placed = await shared.names_in(service_id)
    return [
        schemas.Variable.model_validate(
            {
                "name": name,
                "version": row.version,
                "scopes": row.scopes.split(),
                "updated_at": row.created_at,
                "is_shared": placed.get(name) == row.version,
            }
        )
        for name, row in rows.items()
    ]
