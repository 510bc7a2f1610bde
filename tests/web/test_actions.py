"""Buttons are forms: they need the CSRF token and the right role, and work without scripts."""

from __future__ import annotations

import pytest
from aiohttp import ClientResponse

from helvetia.kernel.accounts import ensure_operator_team
from helvetia.kernel.models import (
    Deployment,
    DeploymentStatus,
    Desired,
    Membership,
    Role,
    Service,
    ServiceStatus,
)

from .conftest import Client, Site
from .world import Person, add_deployment, add_service, furnish, sign_in


async def post(client: Client, person: Person | None, path: str, **fields: str) -> ClientResponse:
    data = {**fields, **({"csrf_token": person.csrf} if person else {})}
    return await client.post(
        path, data=data, headers={"Accept": "text/html"}, allow_redirects=False
    )


@pytest.mark.parametrize(
    ("verb", "trigger", "reuses"),
    [("deploy", "manual", False), ("restart", "manual", True), ("start", "manual", True)],
)
async def test_buttons_queue_a_deployment(
    site: Site, browser: Client, anna: Person, verb: str, trigger: str, reuses: bool
) -> None:
    service = await add_service("web")
    await add_deployment(service)
    answer = await post(browser, anna, f"/services/web/{verb}")
    (queued,) = await Deployment.filter(status=DeploymentStatus.QUEUED)
    assert (answer.status, answer.headers["Location"]) == (303, f"/deployments/{queued.id}")
    assert queued.trigger == trigger
    assert (queued.base_release_id is not None) is reuses
    assert queued.created_by == anna.user.id
    assert site.rung == [queued.id]


async def test_roll_back_to_a_release(site: Site, browser: Client, anna: Person) -> None:
    await furnish(site.platform)
    answer = await post(browser, anna, "/services/shop/rollback", release="1")
    assert answer.status == 303
    (queued,) = await Deployment.filter(status=DeploymentStatus.QUEUED)
    assert queued.trigger == "rollback"
    assert queued.message == "Take cards and TWINT"
    gone = await post(browser, anna, "/services/shop/rollback", release="99")
    assert gone.status == 404
    assert "has no release 99" in await gone.text()
    nonsense = await post(browser, anna, "/services/shop/rollback", release="x")
    assert nonsense.status == 422


async def test_stop(browser: Client, anna: Person) -> None:
    service = await add_service("web")
    answer = await post(browser, anna, "/services/web/stop")
    assert (answer.status, answer.headers["Location"]) == (303, "/services/web?done=stopped")
    assert (await Service.get(id=service.id)).desired is Desired.STOPPED


async def test_cancel_and_cancel_again(site: Site, browser: Client, anna: Person) -> None:
    service = await add_service("web", status=ServiceStatus.DEPLOYING)
    one = await add_deployment(service, status=DeploymentStatus.QUEUED)
    answer = await post(browser, anna, f"/deployments/{one.id}/cancel")
    assert (answer.status, answer.headers["Location"]) == (303, f"/deployments/{one.id}")
    assert (await Deployment.get(id=one.id)).status is DeploymentStatus.CANCELLED
    again = await post(browser, anna, f"/deployments/{one.id}/cancel")
    assert again.status == 409
    assert "is over already" in await again.text()


async def test_a_refusal_is_told_on_the_page(browser: Client, anna: Person) -> None:
    await add_service("web", status=ServiceStatus.IDLE)
    answer = await post(browser, anna, "/services/web/restart")
    assert answer.status == 409
    text = await answer.text()
    assert "has no release yet" in text
    assert "<h1>web" in text


async def test_no_form_works_without_its_token(site: Site, browser: Client) -> None:
    ids = await furnish(site.platform)
    before = await Deployment.all().count()
    paths = [
        *(f"/services/shop/{verb}" for verb in ("deploy", "restart", "stop", "start", "rollback")),
        f"/deployments/{ids['running']}/cancel",
        "/auth/sign-out",
    ]
    for path in paths:
        for token in ({}, {"csrf_token": "wrong"}, {"csrf_token": ""}):
            answer = await post(browser, None, path, **token)
            assert answer.status == 403, path
    assert await Deployment.all().count() == before
    assert (await Service.get(name="shop")).desired is Desired.RUNNING
    assert not (await Deployment.get(id=ids["running"])).cancel_requested


async def test_another_site_cannot_press_a_button(
    site: Site, browser: Client, anna: Person
) -> None:
    await add_service("web")
    answer = await browser.post(
        "/services/web/stop",
        data={"csrf_token": anna.csrf},
        headers={"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"},
    )
    assert answer.status == 403


async def test_a_viewer_sees_no_buttons_and_has_none(site: Site, anna: Person) -> None:
    ids = await furnish(site.platform)
    viewer = await sign_in("vera")
    team = await ensure_operator_team()
    await Membership.create(user_id=viewer.user.id, team_id=team.id, role=Role.VIEWER)
    client = await site.client(viewer)
    for path in ("/services/shop", f"/deployments/{ids['running']}"):
        text = await (await client.get(path)).text()
        assert text.count("<form") == 1, "only signing out"
    answer = await post(client, viewer, "/services/shop/stop")
    assert answer.status == 403
    assert "needs the role member" in await answer.text()
    assert (await Service.get(name="shop")).desired is Desired.RUNNING


async def test_sign_out(site: Site, browser: Client, anna: Person) -> None:
    answer = await post(browser, anna, "/auth/sign-out")
    assert answer.status == 303
    after = await browser.get("/", headers={"Accept": "text/html"}, allow_redirects=False)
    assert after.status == 303
    assert after.headers["Location"].startswith("/auth?next=")


@pytest.mark.parametrize("site", [{"DISABLED_PLUGINS": "dashboard"}], indirect=True)
async def test_the_api_works_without_the_dashboard(site: Site) -> None:
    client = await site.client(await sign_in("anna"))
    await add_service("web")
    for path in ("/", "/services/web", "/account", "/static/style.css"):
        assert (await client.get(path)).status == 404
    answer = await client.get("/api/v1/services")
    assert [one["name"] for one in (await answer.json())["items"]] == ["web"]
    plugins = (await (await client.get("/api/v1/plugins")).json())["items"]
    assert {p["name"]: p["status"] for p in plugins}["dashboard"] == "disabled"
