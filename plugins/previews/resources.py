"""What people do with previews."""

from __future__ import annotations

from helvetia import Call, Policy, Resource
from helvetia.kernel import events
from helvetia.kernel.domains import default_hostname
from helvetia.kernel.errors import Conflict, NotFound
from helvetia.kernel.models import Service
from helvetia.plugins.api.pagination import PageQuery, page
from helvetia.plugins.api.schemas import Page
from helvetia.plugins.api.views import url_maker

from . import previewing, shapes
from .models import Forks, Preview, PreviewPolicy, PreviewState

_PREVIEWS = "/api/v1/services/{service}/previews"
_POLICY = f"{_PREVIEWS}/policy"
resource = Resource("previews")


@resource.get(_PREVIEWS, policy=Policy.VIEWER, summary="List previews")
async def index(call: Call, service: Service, query: PageQuery) -> Page[shapes.Preview]:
    """List the previews that there are, by the number of their pull request."""
    rows = Preview.filter(
        parent_id=service.id, state=PreviewState.OPEN, number__gt=query.number or 0
    )
    found = await rows.order_by("number").limit(query.wanted)
    of = {one.id: one for one in await Service.filter(id__in=[row.service_id for row in found])}
    url = await url_maker(call.platform)

    def show(row: Preview) -> shapes.Preview:
        own = of.get(row.service_id)
        return shapes.Preview.model_validate(
            {
                "number": row.number,
                "name": row.name,
                "url": url(default_hostname(own, call.platform.domain)) if own else "",
                "status": own.status if own else "IDLE",
                "sha": row.sha,
                "branch": row.branch,
                "title": row.title,
                "author": row.author,
                "is_fork": row.is_fork,
                "pull_request": row.url,
                "expires_at": row.expires_at,
                "created_at": row.created_at,
            }
        )

    return page(query, found, key=lambda row: row.number, show=show)


@resource.get(_POLICY, policy=Policy.VIEWER, summary="Show who gets previews")
async def policy(call: Call, service: Service) -> shapes.Policy:
    """Show which pull requests of a service get previews; none without a policy."""
    found = await PreviewPolicy.get_or_none(service_id=service.id)
    shown = found or PreviewPolicy(service_id=service.id)
    return shapes.Policy(
        forks=shown.forks.value, limit=shown.limit, hours=shown.hours, is_on=found is not None
    )


@resource.post(
    _POLICY, policy=Policy.ADMIN, summary="Give a service previews", status=201, errors=[Conflict]
)
async def enable(call: Call, service: Service, body: shapes.NewPolicy) -> shapes.Policy:
    """Deploy pull requests to the branch that a service follows, each at its own address."""
    if await Preview.filter(service_id=service.id).exists():
        raise Conflict(f"service {service.name} is a preview itself")
    values = {"forks": Forks(body.forks), "limit": body.limit, "hours": body.hours}
    await PreviewPolicy.update_or_create(service_id=service.id, defaults=values)
    await events.record(
        "preview.enabled", actor=call.user.id, team_id=service.team_id, service_id=service.id,
        forks=body.forks, limit=str(body.limit), hours=str(body.hours),
    )  # fmt: skip
    return await policy(call, service)


@resource.delete(
    _POLICY,
    policy=Policy.ADMIN,
    summary="Take previews from a service",
    status=204,
    errors=[NotFound],
)
async def disable(call: Call, service: Service) -> None:
    """Make no more previews, and remove those that there are."""
    if not await PreviewPolicy.filter(service_id=service.id).delete():
        raise NotFound(f"service {service.name} has no previews")
    await events.record(
        "preview.disabled", actor=call.user.id, team_id=service.team_id, service_id=service.id
    )
    for found in await Preview.filter(parent_id=service.id, state=PreviewState.OPEN):
        await previewing.close(found, f"previews of {service.name} were switched off")
    call.context.wake()


@resource.delete(
    f"{_PREVIEWS}/{{number}}",
    policy=Policy.MEMBER,
    summary="Remove a preview",
    status=204,
    errors=[NotFound],
)
async def remove(call: Call, service: Service, number: str) -> None:
    """Remove one preview; the next push to its pull request makes it again."""
    is_number = number.isascii() and number.isdecimal() and len(number) < 10
    rows = Preview.filter(parent_id=service.id, state=PreviewState.OPEN)
    found = await rows.get_or_none(number=int(number)) if is_number else None
    if found is None:
        raise NotFound("there is no such preview", hint=f"see `helvetia previews {service.name}`")
    await previewing.close(found, "somebody removed it")
    await events.record(
        "preview.removed", actor=call.user.id, team_id=service.team_id, service_id=service.id,
        number=number,
    )  # fmt: skip
    call.context.wake()
