"""Every route of the registry: nobody, a stranger, too low a role, and the lowest that may."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import aiohttp
import pytest
from audited import assert_audited
from http_support import (
    PEOPLE,
    TOKENS,
    Answer,
    World,
    archive,
    make_deployment,
    make_release,
    make_service,
    sign_in,
    user,
)
from pydantic import TypeAdapter

from helvetia.kernel.http.access import Policy
from helvetia.kernel.http.routing import Endpoint, Resource
from helvetia.kernel.models import (
    Delivery,
    Deployment,
    Desired,
    Domain,
    Membership,
    Release,
    Role,
    Service,
    Session,
    Team,
    Token,
    TokenScope,
    User,
    utcnow,
)
from helvetia.kernel.secrets import digest
from helvetia.plugins.api import tokens
from helvetia.plugins.api.models import Invitation
from helvetia.plugins.notifications.models import Channel
from helvetia.plugins.sources.git.credentials.models import Credentials
from helvetia.plugins.webhooks.models import Webhook
from tests.stock import endpoints


@dataclass(frozen=True)
class Case:
    """How to call an endpoint so that it does its work, and the status that shows it."""

    status: int
    body: Any = None
    data: bytes | None = None


GUEST = "feed"
CASES = {
    "installation_about": Case(200),
    "installation_me": Case(200),
    "installation_openapi": Case(200),
    "services_index": Case(200),
    "services_create": Case(201, {"name": "new", "source": "https://git.example/new.git"}),
    "services_show": Case(200),
    "services_change": Case(200, {"ref": "next"}),
    "services_delete": Case(202),
    "services_stop": Case(202),
    "services_start": Case(202),
    "services_clear_cache": Case(200),
    "deployments_index": Case(200),
    "deployments_create": Case(201, {}),
    "deployments_show": Case(200),
    "deployments_cancel": Case(202),
    "releases_index": Case(200),
    "environment_index": Case(200),
    "environment_change": Case(200, {"set": {"A": "1"}}),
    "environment_diff": Case(200),
    "environment_of_team": Case(200),
    "environment_change_of_team": Case(200, {"set": {"A": "1"}}),
    "domains_index": Case(200),
    "domains_certificate": Case(200),
    "domains_add": Case(201, {"hostname": "more.example.com"}),
    "domains_verify": Case(200),
    "domains_remove": Case(204),
    "logs_of_deployment": Case(200),
    "logs_of_service": Case(200),
    # Admitted, and then told that it is no WebSocket.
    "logs_follow_deployment": Case(400),
    "logs_follow_service": Case(400),
    "shell_open": Case(400),
    "metrics_overview": Case(200),
    "metrics_show": Case(200),
    "metrics_live": Case(400),
    "metrics_deployments": Case(200),
    "notifications_index": Case(200),
    "notifications_create": Case(
        201, {"name": "n", "kind": "slack", "target": "https://a.example/b"}
    ),
    "notifications_change": Case(200, {"name": "other"}),
    "notifications_remove": Case(204),
    "notifications_test": Case(202),
    "notifications_messages": Case(200),
    "events_index": Case(200),
    # Admitted, and then told that there is no such archive.
    "plans_create": Case(422, {"source": f"upload:{'0' * 64}"}),
    "uploads_create": Case(201, data=archive(index__html="hello")),
    "plugins_index": Case(200),
    "plugins_checks": Case(200),
    "workers_index": Case(200),
    "workers_queue": Case(200),
    "tokens_index": Case(200),
    "tokens_create": Case(201, {"name": "ci"}),
    "tokens_revoke": Case(204),
    "audit_index": Case(200),
    "audit_lines": Case(200),
    "audit_table": Case(200),
    "sessions_index": Case(200),
    "sessions_end": Case(204),
    "sessions_end_all": Case(200),
    "accounts_index": Case(200),
    # Admitted, and then told that the people of the tests sign in by no provider.
    "accounts_disconnect": Case(404),
    "teams_index": Case(200),
    "teams_create": Case(201, {"name": "new"}),
    # Admitted, and then told that it has services.
    "teams_delete": Case(409),
    "teams_leave": Case(204),
    "teams_members": Case(200),
    "teams_add": Case(201, {"user": GUEST}),
    "teams_change": Case(200, {"role": "viewer"}),
    "teams_remove": Case(204),
    "teams_invited": Case(200),
    "teams_invite": Case(201, {}),
    "teams_withdraw": Case(204),
    "auth_choose": Case(200),
    "auth_begin": Case(200),
    # Admitted, and then told that it takes a browser session.
    "auth_connect": Case(403),
    "auth_complete": Case(401),
    "auth_complete_form": Case(401),
    "auth_sign_out": Case(303),
    "webhooks_take": Case(404),
    "webhooks_deploy": Case(202),
    "webhooks_show": Case(200),
    "webhooks_create": Case(201, {}),
    "webhooks_change": Case(200, {"paths": ["src"]}),
    "webhooks_remove": Case(204),
    "webhooks_deliveries": Case(200),
    "webhooks_delivery": Case(200),
    "webhooks_replay": Case(201),
    "previews_index": Case(200),
    "previews_policy": Case(200),
    "previews_enable": Case(201, {}),
    "previews_disable": Case(404),
    "previews_remove": Case(404),
    "credentials_show": Case(200),
    "credentials_give": Case(201, {"password": "token"}),
    "credentials_remove": Case(204),
    "github_about": Case(200),
    # Admitted, and then told that they have not connected GitHub, or have named no repository.
    "github_repositories": Case(409),
    "github_branches": Case(422),
    "github_installations": Case(200),
    "github_show": Case(404),
    "github_connect": Case(409, {}),
    "github_disconnect": Case(404),
    "github_take": Case(404),
    "monitoring_healthz": Case(200),
    "monitoring_readyz": Case(200),
    "monitoring_metrics": Case(200),
}
ENDPOINTS = {endpoint.name: endpoint for endpoint in endpoints()}
LOWEST = {
    Policy.PUBLIC: None,
    Policy.SIGNED_IN: "viewer",
    Policy.VIEWER: "viewer",
    Policy.MEMBER: "member",
    Policy.ADMIN: "admin",
    Policy.OPERATOR: "operator",
}
TOO_LOW = {Policy.MEMBER: "viewer", Policy.ADMIN: "member", Policy.OPERATOR: "owner"}

every_endpoint = pytest.mark.parametrize("name", sorted(ENDPOINTS))
every_hiding_endpoint = pytest.mark.parametrize(
    "name",
    sorted(
        name
        for name, one in ENDPOINTS.items()
        if one.loaded
        or name
        in ("services_index", "tokens_revoke", "tokens_index", "sessions_end", "teams_index")
    ),
)
every_restricted_endpoint = pytest.mark.parametrize(
    "name", sorted(name for name, one in ENDPOINTS.items() if one.policy in TOO_LOW)
)


def test_every_endpoint_has_a_case() -> None:
    assert set(CASES) == set(ENDPOINTS)


def test_what_is_public_is_known() -> None:
    public = {name for name, one in ENDPOINTS.items() if one.policy is Policy.PUBLIC}
    assert public == {
        "installation_openapi", "monitoring_healthz", "monitoring_readyz",
        "auth_choose", "auth_begin", "auth_complete", "auth_complete_form",
        # Their own proof is the signature, or the secret in the address.
        "webhooks_take", "webhooks_deploy", "github_take",
    }  # fmt: skip


def test_changes_are_never_for_viewers() -> None:
    for endpoint in ENDPOINTS.values():
        if endpoint.method != "GET" and endpoint.loaded:
            assert endpoint.policy in (Policy.MEMBER, Policy.ADMIN)


@every_endpoint
async def test_nobody_gets_in(world: World, name: str) -> None:
    endpoint = ENDPOINTS[name]
    answer = await call_endpoint(world, endpoint, who=None)
    if endpoint.policy is Policy.PUBLIC:
        assert answer.status == CASES[name].status
        return
    assert answer.status == 401
    assert answer.headers["WWW-Authenticate"] == "Bearer"
    assert answer.json["code"] == "unauthenticated"


@every_hiding_endpoint
async def test_a_stranger_sees_nothing(world: World, name: str) -> None:
    endpoint = ENDPOINTS[name]
    answer = await call_endpoint(world, endpoint, who="stranger")
    if endpoint.method == "GET" and not endpoint.loaded:
        mine = {"tokens_index": {"test"}, "teams_index": {"theirs"}}.get(name, set())
        assert {item["name"] for item in answer.json["items"]} == mine
        return
    assert (answer.status, answer.json["code"]) == (404, "not-found")
    if endpoint.loaded:
        # Just as if it were not there.
        await Service.filter(name="web").delete()
        await Team.filter(name="ours").delete()
        gone = await call_endpoint(world, endpoint, who="stranger", path=answer.path)
        assert _told(gone.json) == _told(answer.json)
    else:
        assert await Token.filter(revoked_at=None).count() == len(PEOPLE)


@every_restricted_endpoint
async def test_too_low_a_role_may_not(world: World, name: str) -> None:
    endpoint = ENDPOINTS[name]
    answer = await call_endpoint(world, endpoint, who=TOO_LOW[endpoint.policy])
    assert (answer.status, answer.json["code"]) == (403, "forbidden")
    assert await _fingerprint() == (1, 2, 1, 1, 0)
    assert not world.rung
    service = await Service.get(name="web")
    assert (service.desired, service.source_ref, service.environment_version) == (
        Desired.RUNNING, None, 0
    )  # fmt: skip


@every_endpoint
async def test_the_lowest_that_may_gets_through(world: World, name: str) -> None:
    endpoint, case = ENDPOINTS[name], CASES[name]
    answer = await call_endpoint(world, endpoint, who=LOWEST[endpoint.policy])
    assert answer.status == case.status, answer.raw
    if endpoint.result is not None and answer.status < 300:
        TypeAdapter(endpoint.result).validate_json(answer.raw)
    await assert_audited(endpoint, answer, LOWEST[endpoint.policy])


@every_endpoint
async def test_operators_may_everything(world: World, name: str) -> None:
    answer = await call_endpoint(world, ENDPOINTS[name], who="operator")
    expected = CASES[name].status
    # A token is the operator's own or nobody's, and so is being in a team.
    own = name in ("tokens_revoke", "teams_leave")
    assert answer.status == (404 if own else expected), answer.raw


@pytest.mark.parametrize("scope", ["read", "deploy"])
async def test_a_token_may_no_more_than_its_scope(world: World, scope: str) -> None:
    """Of an operator, who may everything: what is refused is refused by the scope."""
    may = {Policy.PUBLIC, Policy.VIEWER} | ({Policy.MEMBER} if scope == "deploy" else set())
    clear, _ = await tokens.create(await user("operator"), name="x", scope=TokenScope(scope))
    headers = {"Authorization": f"Bearer {clear}"}
    things = await _things()
    refused = 0
    for name, endpoint in sorted(ENDPOINTS.items()):
        own = endpoint.policy is Policy.SIGNED_IN and endpoint.method == "GET"
        if endpoint.policy in may or own:
            if endpoint.method == "GET":
                answer = await call_endpoint(
                    world, endpoint, who=None, things=things, headers=headers
                )
                assert answer.status == CASES[name].status, (name, answer.raw)
            continue
        answer = await call_endpoint(world, endpoint, who=None, things=things, headers=headers)
        assert (answer.status, answer.json["code"]) == (403, "forbidden"), name
        refused += 1
    assert refused > 20
    assert await _fingerprint() == (1, 2, 1, 1, 0)
    assert await Token.filter(revoked_at=None).count() == len(PEOPLE) + 1
    page = await world.call("POST", "/desk", who=None, headers=headers)
    assert page.status == 403


async def test_a_token_to_deploy_deploys(world: World) -> None:
    clear, _ = await tokens.create(
        await user("owner"), name="x", scope=TokenScope.DEPLOY, expires_in_days=1
    )
    headers = {"Authorization": f"Bearer {clear}"}
    things = await _things()
    for name in ("services_create", "deployments_create"):
        answer = await call_endpoint(
            world, ENDPOINTS[name], who=None, things=things, headers=headers
        )
        assert answer.status == 201, answer.raw


async def test_a_session_that_was_ended_opens_nothing(world: World) -> None:
    cookie, session = await sign_in(world)
    things = await _things()
    await Session.filter(id=session.id).delete()
    headers = {"Cookie": cookie, "X-CSRF-Token": session.csrf, "Origin": world.url}
    for name, endpoint in sorted(ENDPOINTS.items()):
        if endpoint.policy is not Policy.PUBLIC:
            answer = await call_endpoint(world, endpoint, who=None, things=things, headers=headers)
            assert (answer.status, answer.json["code"]) == (401, "unauthenticated"), name


async def test_every_socket_is_opened_to_those_who_may_alone(world: World) -> None:
    things = await _things()
    sockets = [one for one in ENDPOINTS.values() if one.websocket]
    assert len(sockets) >= 2
    clear, _ = await tokens.create(await user("owner"), name="x", scope=TokenScope.READ)
    ended, token = await tokens.create(await user("owner"), name="y")
    await tokens.revoke(await user("owner"), token.id)
    for endpoint in sockets:
        url = world.url + endpoint.path.format(**things)
        is_for_all = endpoint.policy is Policy.VIEWER
        for shown, status in (
            ("", 401),
            ("wrong", 401),
            (ended, 401),
            (TOKENS["stranger"], 404),
            (TOKENS["viewer"], 101 if is_for_all else 403),
            (clear, 101 if is_for_all else 403),
        ):
            headers = {"Authorization": f"Bearer {shown}"} if shown else {}
            try:
                async with world.session.ws_connect(url, headers=headers):
                    opened = 101
            except aiohttp.WSServerHandshakeError as error:
                opened = error.status
            assert opened == status, (endpoint.name, shown)
            with pytest.raises(aiohttp.WSServerHandshakeError, match="403"):
                await world.session.ws_connect(
                    url, headers={**headers, "Origin": "http://evil.example"}
                )


def test_no_route_without_a_policy() -> None:
    with pytest.raises(TypeError, match="has no policy"):
        Resource("x").get("/x", summary="x")


def test_no_team_resource_without_a_role() -> None:
    async def show(call: object, service: Service) -> None: ...

    with pytest.raises(TypeError, match="which role"):
        Resource("x").get("/x/{service}", policy=Policy.SIGNED_IN, summary="x")(show)


def test_no_handler_with_a_parameter_that_nobody_gives() -> None:
    async def show(call: object, team: str) -> None: ...

    with pytest.raises(TypeError, match="`team`"):
        Resource("x").get("/x", policy=Policy.PUBLIC, summary="x")(show)


async def call_endpoint(
    world: World,
    endpoint: Endpoint,
    *,
    who: str | None,
    path: str | None = None,
    things: dict[str, str] | None = None,
    headers: dict[str, str] | None = None,
) -> Answer:
    if path is None:
        path = endpoint.path.format(**(things or await _things()))
    case = CASES[endpoint.name]
    options: dict[str, Any] = {"headers": dict(headers or {})}
    if case.data is not None:
        options["data"] = case.data
        options["headers"]["Content-Type"] = "application/gzip"
    elif case.body is not None:
        options["json"] = case.body
    return await world.call(endpoint.method, path, who=who, **options)


async def _things() -> dict[str, str]:
    """One of everything that a path can name."""
    service = await make_service()
    await make_release(service, 1)
    deployment = await make_deployment(service, 2)
    await Domain.create(service_id=service.id, hostname="www.example.com", verified_at=utcnow())
    token = await Token.get(user__name="viewer", name="test")
    await Webhook.all().delete()
    await Webhook.create(service_id=service.id, secret="", deploy_digest=digest("hvd_key"))
    delivery = await Delivery.create(
        source=f"webhook:{service.id}",
        delivery_key="1",
        event="ping",
        headers={"X-GitHub-Event": "ping"},
        body=b"{}",
        verdict="ignored",
        service_id=service.id,
    )
    viewer = await user("viewer")
    now = utcnow()
    session = await Session.create(
        user_id=viewer.id,
        csrf="c",
        expires_at=now + timedelta(days=1),
        rotated_at=now,
        last_seen_at=now,
    )
    await User.get_or_create(id=GUEST, defaults={"name": "guest"})
    # Nobody by whom the tests ask: this one may be changed and removed.
    other, _ = await User.get_or_create(id="beef", defaults={"name": "other"})
    await Membership.get_or_create(
        user_id=other.id, team_id=service.team_id, defaults={"role": Role.MEMBER}
    )
    await Credentials.all().delete()
    await Credentials.create(
        service_id=service.id, kind="password", address=service.source_url, secret=""
    )
    await Invitation.all().delete()
    invitation = await Invitation.create(
        team_id=service.team_id, role="viewer", digest="i", expires_at=now + timedelta(days=1)
    )
    channel = await Channel.create(
        team_id=service.team_id, name="ops", kind="slack", target="", topics=["crash"]
    )
    return {
        "service": service.name,
        "session": session.id,
        "team": "ours",
        "membership": "ours",
        "user": other.id,
        "invitation": invitation.id,
        "deployment": deployment.id,
        "hostname": "www.example.com",
        "token": token.id,
        "provider": "form",
        "hook": "none",
        "key": "hvd_key",
        "delivery": delivery.id,
        "channel": channel.id,
        "number": "7",
    }


def _told(problem: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in problem.items() if key != "request_id"}


async def _fingerprint() -> tuple[int, ...]:
    return (
        await Service.all().count(),
        await Deployment.all().count(),
        await Domain.all().count(),
        await Release.all().count(),
        await Deployment.filter(cancel_requested=True).count(),
    )
