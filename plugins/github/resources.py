"""What people ask about GitHub, and how they connect services to it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

from helvetia import Call, Policy, Resource
from helvetia.kernel import events
from helvetia.kernel.errors import Conflict, NotFound
from helvetia.kernel.http.origin import own_origin
from helvetia.kernel.models import Service
from helvetia.plugins.api.pagination import PageQuery, page
from helvetia.plugins.api.schemas import Page

from . import connections, shapes
from .addresses import repository_name
from .app import is_app
from .client import GitHubClient
from .credentials import has_grant, user_client
from .errors import GitHubError, GitHubRefused
from .models import Connection
from .settings import GitHubSettings

Item = TypeVar("Item")
_MOST = 2000
_SERVICE = "/api/v1/services/{service}/github"
resource = Resource("github")


@resource.get("/api/v1/github", policy=Policy.SIGNED_IN, summary="Show how GitHub is set up")
async def about(call: Call) -> shapes.About:
    """Show which GitHub this is, and whether the caller has connected it."""
    settings = call.platform.section(GitHubSettings)
    slug = settings.app_slug if is_app(settings) else None
    return shapes.About(
        url=settings.url,
        app=slug,
        install_url=f"{settings.url.rstrip('/')}/apps/{slug}/installations/new" if slug else None,
        is_connected=await has_grant(call.platform, call.user.id),
    )


@resource.get(
    "/api/v1/github/repositories",
    policy=Policy.SIGNED_IN,
    summary="List repositories at GitHub",
    errors=[Conflict, GitHubError],
)
async def repositories(call: Call, query: shapes.SearchQuery) -> Page[shapes.Repository]:
    """List the repositories that the caller may see at GitHub, the last pushed to first.

    With a GitHub App they are those of the installations that the caller may use.
    """
    found: dict[int, dict[str, Any]] = {}
    async with await _mine(call) as client:
        if is_app(call.platform.section(GitHubSettings)):
            for one in await _installations(client):
                path = f"/user/installations/{one['id']}/repositories"
                async for items in client.pages(path, key="repositories"):
                    found |= {item["id"]: item for item in items}
        else:
            affiliation = "owner,collaborator,organization_member"
            pages = client.pages("/user/repos", sort="pushed", affiliation=affiliation)
            async for items in pages:
                found |= {item["id"]: item for item in items}
                if len(found) >= _MOST:
                    break
    wanted = [one for one in found.values() if query.search.lower() in one["full_name"].lower()]
    wanted.sort(key=lambda one: str(one.get("pushed_at") or ""), reverse=True)
    return _page(query, [_repository(one) for one in wanted])


@resource.get(
    "/api/v1/github/branches",
    policy=Policy.SIGNED_IN,
    summary="List branches of a repository at GitHub",
    errors=[Conflict, NotFound, GitHubError],
)
async def branches(call: Call, query: shapes.BranchQuery) -> Page[shapes.Branch]:
    """List the branches of a repository that the caller may see, by name."""
    name = repository_name(query.repository, call.platform.section(GitHubSettings))
    if name is None:
        raise NotFound(f"{query.repository} is no repository at GitHub")
    found: list[shapes.Branch] = []
    async with await _mine(call) as client:
        try:
            async for items in client.pages(f"/repos/{name}/branches"):
                found += [
                    shapes.Branch(name=one["name"], sha=one["commit"]["sha"]) for one in items
                ]
                if len(found) >= _MOST:
                    break
        except GitHubRefused as error:
            if error.answered != 404:
                raise
            raise NotFound(f"there is no repository {name} that you may see") from None
    return _page(query, [one for one in found if query.search.lower() in one.name.lower()])


@resource.get(
    "/api/v1/github/installations",
    policy=Policy.SIGNED_IN,
    summary="List installations of the GitHub App",
    errors=[Conflict, GitHubError],
)
async def installations(call: Call, query: PageQuery) -> Page[shapes.Installation]:
    """List where the App is installed, as far as GitHub says that the caller may use it."""
    found: list[dict[str, Any]] = []
    if is_app(call.platform.section(GitHubSettings)):
        async with await _mine(call) as client:
            found = await _installations(client)
    shown = [shapes.Installation(id=one["id"], account=one["account"]["login"]) for one in found]
    return _page(query, shown)


@resource.get(
    _SERVICE, policy=Policy.VIEWER, summary="Show the GitHub connection", errors=[NotFound]
)
async def show(call: Call, service: Service) -> shapes.Connection:
    """Show which repository a service is connected to, and whether pushes are heard of."""
    found = await Connection.get_or_none(service_id=service.id)
    if found is None:
        raise NotFound(
            f"service {service.name} is not connected to GitHub",
            hint=f"connect it with `helvetia github connect {service.name}`",
        )
    return _shown(call, found)


@resource.post(
    _SERVICE,
    policy=Policy.ADMIN,
    summary="Connect a service to GitHub",
    status=201,
    errors=[Conflict, NotFound, GitHubError],
)
async def connect(call: Call, service: Service, body: shapes.NewConnection) -> shapes.Connection:
    """Let the service's repository be read by the caller's right, and have pushes deploy it.

    The webhook is made in the background, repaired when it is changed, and removed with the
    connection or the service.
    """
    made = await connections.connect(
        call.platform, service, user_id=call.user.id, origin=own_origin(call.request)
    )
    return _shown(call, made)


@resource.delete(
    _SERVICE,
    policy=Policy.ADMIN,
    summary="Disconnect a service from GitHub",
    status=204,
    errors=[NotFound],
)
async def disconnect(call: Call, service: Service) -> None:
    """Forget by whose right the repository is read, and remove the webhook at GitHub."""
    if not await connections.disconnect(service.id):
        raise NotFound(f"service {service.name} is not connected to GitHub")
    await events.record(
        "github.disconnected",
        actor=call.user.id,
        team_id=service.team_id,
        service_id=service.id,
    )


async def _mine(call: Call) -> GitHubClient:
    """Return a client that speaks as the caller.

    Raises:
        Conflict: they have not connected GitHub.
    """
    if not await has_grant(call.platform, call.user.id):
        raise Conflict(
            "you have not connected GitHub", hint="sign in by GitHub, or link your account to it"
        )
    return user_client(call.platform, call.user.id)


async def _installations(client: GitHubClient) -> list[dict[str, Any]]:
    pages = client.pages("/user/installations", key="installations")
    return [one async for items in pages for one in items]


def _page(query: PageQuery, items: Sequence[Item]) -> Page[Item]:
    """Make a page of a list that GitHub has put in order."""
    begin = query.number or 0
    rows = list(enumerate(items))[begin : begin + query.wanted]
    return page(query, rows, key=lambda row: row[0] + 1, show=lambda row: row[1])


def _repository(found: dict[str, Any]) -> shapes.Repository:
    rights = found.get("permissions") or {}
    return shapes.Repository(
        name=found["full_name"],
        url=found["html_url"],
        private=bool(found.get("private")),
        default_branch=found.get("default_branch") or "",
        permission="admin" if rights.get("admin") else "write" if rights.get("push") else "read",
        pushed_at=found.get("pushed_at"),
    )


def _shown(call: Call, found: Connection) -> shapes.Connection:
    settings = call.platform.section(GitHubSettings)
    via_app = found.installation is not None and is_app(settings)
    if via_app and settings.webhook_secret is not None:
        hook = "app"
    elif found.hook is not None:
        hook = "made"
    else:
        hook = "missing" if found.hook_problem else "pending"
    return shapes.Connection.model_validate(
        {
            "repository": found.name,
            "private": found.private,
            "via": "app" if via_app else "user",
            "hook": hook,
            "problem": found.cut_off or ("" if hook == "app" else found.hook_problem),
        }
    )
