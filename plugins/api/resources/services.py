"""Services."""

from __future__ import annotations

from helvetia.kernel.errors import Conflict, NotFound
from helvetia.kernel.http.access import Policy, load_team
from helvetia.kernel.http.context import Call
from helvetia.kernel.http.routing import Resource
from helvetia.kernel.models import Role, Service
from helvetia.kernel.pipeline.lease import ServiceLease
from helvetia.kernel.pipeline.queue import DeploymentRequest, enqueue
from helvetia.kernel.tidying import forget_cache
from helvetia.plugins.api import inputs, schemas, services, summaries, views
from helvetia.plugins.api.pagination import PageQuery, page

resource = Resource("services")


@resource.get("/api/v1/services", policy=Policy.VIEWER, summary="List services")
async def index(call: Call, query: PageQuery) -> schemas.Page[schemas.Service]:
    """List services by name."""
    teams = call.caller.visible_teams
    found = await summaries.page(call.platform, teams, after=query.after, limit=query.wanted)
    shown = page(query, found, key=lambda one: one.name, show=lambda one: one)
    return summaries.Listing(items=shown.items, next=shown.next)


@resource.post(
    "/api/v1/services",
    policy=Policy.MEMBER,
    summary="Create a service",
    status=201,
    errors=[Conflict, NotFound],
)
async def create(call: Call, body: inputs.NewService) -> schemas.Service:
    """Create a service in a team of the caller. It does nothing until it is deployed."""
    caller = call.caller
    if body.team is None:
        team_id = await caller.home_team(Role.MEMBER)
    else:
        team_id = (await load_team(caller, body.team, Role.MEMBER)).id
    service = await services.create(
        call.platform,
        body,
        team_id=team_id,
        actor=call.user.id,
        trusted=_trusted(call),
    )
    return await _shown(call, service)


@resource.get("/api/v1/services/{service}", policy=Policy.VIEWER, summary="Show a service")
async def show(call: Call, service: Service) -> schemas.ServiceDetail:
    """Show a service with what runs of it now."""
    shown = await _shown(call, service)
    instances = await views.instances(call.platform, service.id)
    return schemas.ServiceDetail(**dict(shown), instances=instances)


@resource.patch(
    "/api/v1/services/{service}",
    policy=Policy.MEMBER,
    summary="Change a service",
    errors=[Conflict],
)
async def change(call: Call, service: Service, body: inputs.ServiceChange) -> schemas.Service:
    """Change what is given, from the next deployment on; `settings` are replaced whole."""
    await services.change(service, body, actor=call.user.id, trusted=_trusted(call))
    return await _shown(call, service)


@resource.delete(
    "/api/v1/services/{service}", policy=Policy.ADMIN, summary="Delete a service", status=202
)
async def delete(call: Call, service: Service) -> schemas.Service:
    """Begin to delete a service with everything it has; running deployments are cancelled."""
    await services.delete(service, actor=call.user.id)
    return await _shown(call, service)


@resource.post(
    "/api/v1/services/{service}/stop",
    policy=Policy.MEMBER,
    summary="Stop a service",
    status=202,
    errors=[Conflict],
)
async def stop(call: Call, service: Service) -> schemas.Service:
    """Begin to stop a service; running deployments are cancelled."""
    await services.stop(service, actor=call.user.id)
    return await _shown(call, service)


@resource.post(
    "/api/v1/services/{service}/start",
    policy=Policy.MEMBER,
    summary="Start a service",
    status=202,
    errors=[Conflict],
)
async def start(call: Call, service: Service) -> schemas.Deployment:
    """Queue a deployment that runs the live or newest release again; nothing is built."""
    request = DeploymentRequest(action="restart", actor=call.user.id)
    deployment, _ = await enqueue(service, request)
    await call.context.ring(deployment.id)
    return await views.deployment(call.platform, deployment, service.name)


@resource.delete(
    "/api/v1/services/{service}/cache",
    policy=Policy.MEMBER,
    summary="Clear the build cache of a service",
    errors=[Conflict],
)
async def clear_cache(call: Call, service: Service) -> schemas.Freed:
    """Drop what builders keep for the next build; not while something is done to the service."""
    platform = call.platform
    seconds = platform.options.lease_seconds
    lease = await ServiceLease.acquire(service.id, owner=platform.worker, seconds=seconds)
    if lease is None:
        raise Conflict(
            f"service {service.name} is being worked on",
            hint="wait until its deployment has ended, or cancel it",
        )
    async with lease.kept():
        return schemas.Freed(freed_bytes=await forget_cache(platform, service.id))


def _trusted(call: Call) -> bool:
    return services.may_name_paths(call.platform, is_operator=call.user.is_operator)


async def _shown(call: Call, service: Service) -> schemas.Service:
    return await summaries.summary(call.platform, service.id)
