"""Forms say what is wrong, keep what was typed, and do no more than whoever sends them may."""

from __future__ import annotations

import pytest

from helvetia.kernel import environment
from helvetia.kernel.accounts import ensure_operator_team
from helvetia.kernel.models import (
    Desired,
    Domain,
    Event,
    Membership,
    Role,
    Service,
    Token,
)
from helvetia.kernel.plugin_state import disabled_plugins
from helvetia.plugins.api.models import Invitation
from helvetia.web.fields import read_lines

from .conftest import Client, Site
from .test_actions import post
from .world import Person, add_service, furnish, sign_in


async def test_variables_are_set_and_a_refused_form_keeps_its_text(
    site: Site, browser: Client, anna: Person
) -> None:
    service = await add_service("web")
    path = "/services/web/environment"
    bad = await post(browser, anna, path, name="1BAD", value="s3cret-value", lines="OTHER=x")
    text = await bad.text()
    assert bad.status == 422
    assert 'value="1BAD"' in text
    assert "OTHER=x" in text
    assert "letters, digits and underscores" in text
    good = await post(
        browser, anna, path, name="ONE", value="1", lines='# note\nexport TWO="2 2"\n', scopes="run"
    )
    assert good.headers["Location"] == f"{path}?done=environment"
    await service.refresh_from_db()
    vault = site.platform.vault
    values = await environment.values(service.id, service.environment_version, vault)
    assert values == {"ONE": "1", "TWO": "2 2"}
    assert (await post(browser, anna, f"{path}/unset", name="ONE")).status == 303
    await service.refresh_from_db()
    assert list(await environment.current(service.id, service.environment_version)) == ["TWO"]


async def test_settings_are_changed_by_their_schema(browser: Client, anna: Person) -> None:
    service = await add_service("web")
    path = "/services/web/settings"
    fields = {"source": service.source_url, "ref": "main", "type": "static"}
    bad = await post(browser, anna, path, **fields, **{"settings.limits.memory_mb": "much"})
    text = await bad.text()
    assert bad.status == 422
    assert 'value="much"' in text
    assert 'id="error-settings-limits-memory_mb"' in text
    wanted = {
        "settings.limits.memory_mb": "256",
        "settings.health.path": "/healthz",
        "settings.builder.output": "public",
        "settings.providers.runtime": "process",
        "settings.worker_labels": "build, region=eu",
    }
    assert (await post(browser, anna, path, **fields, **wanted)).status == 303
    await service.refresh_from_db()
    settings = service.settings
    assert (service.type, settings["limits"]["memory_mb"]) == ("static", 256)
    assert settings["health"]["path"] == "/healthz"
    assert settings["builder"] == {"output": "public"}
    assert settings["providers"] == {"runtime": "process"}
    assert settings["worker_labels"] == ["build", "region=eu"]
    shown = await (await browser.get(path)).text()
    assert 'value="/healthz"' in shown


async def test_a_hostname_comes_and_goes(browser: Client, anna: Person) -> None:
    await add_service("web")
    path = "/services/web/domains"
    bad = await post(browser, anna, path, hostname="no host name")
    assert bad.status == 422
    assert 'value="no host name"' in await bad.text()
    assert (await post(browser, anna, path, hostname="web.example.com")).status == 303
    assert await Domain.exists(hostname="web.example.com")
    assert (await post(browser, anna, f"{path}/web.example.com/remove")).status == 303
    assert not await Domain.exists(hostname="web.example.com")


async def test_a_service_is_deleted_by_its_name_only(browser: Client, anna: Person) -> None:
    service = await add_service("web")
    wrong = await post(browser, anna, "/services/web/delete", typed="wob")
    assert wrong.status == 422
    assert (await Service.get(id=service.id)).desired is Desired.RUNNING
    right = await post(browser, anna, "/services/web/delete", typed="web")
    assert right.headers["Location"] == "/?done=deleted"
    assert (await Service.get(id=service.id)).desired is Desired.DELETED


async def test_a_token_is_shown_once_and_revoked(browser: Client, anna: Person) -> None:
    made = await post(browser, anna, "/account/tokens", name="ci", scope="read")
    assert (made.status, made.headers["Location"]) == (303, "/account")
    token = await Token.get(name="ci")
    texts = [await (await browser.get(path)).text() for path in ("/team", "/account", "/account")]
    assert ["hv_" in text.replace("hv_…", "") for text in texts] == [False, True, False]
    assert (await post(browser, anna, "/account/tokens", name="")).status == 422
    assert token.scope.value == "read"
    assert (await post(browser, anna, f"/account/tokens/{token.id}/revoke")).status == 303
    await token.refresh_from_db()
    assert token.revoked_at is not None


async def test_the_secrets_of_a_webhook_are_shown_once_and_to_whom_they_are_for(
    site: Site, browser: Client, anna: Person
) -> None:
    await add_service("web")
    path = "/services/web/deliveries"
    made = await post(browser, anna, "/services/web/webhook")
    assert (made.status, made.headers["Location"]) == (303, path)
    kept = made.cookies["helvetia_once"].value
    ben = await sign_in("ben")
    team = await ensure_operator_team()
    await Membership.create(user_id=ben.user.id, team_id=team.id, role=Role.ADMIN)
    other = await site.client(ben)
    for cookie in (kept, "nonsense", ""):
        answer = await other.get(path, cookies={"helvetia_once": cookie})
        assert "hvw_" not in await answer.text()
    texts = [await (await browser.get(path)).text() for _ in range(2)]
    assert ["hvw_" in text for text in texts] == [True, False]
    assert "hvw_" not in kept


async def test_a_refused_hostname_of_a_new_service_is_told_behind_a_redirect(
    browser: Client, anna: Person
) -> None:
    fields = {"step": "create", "name": "fresh", "source": "https://git.example.com/a/b.git"}
    made = await post(browser, anna, "/new", **fields, hostname="no host name")
    assert (made.status, made.headers["Location"]) == (303, "/services/fresh/domains")
    texts = [await (await browser.get("/services/fresh/domains")).text() for _ in range(2)]
    assert ['value="no host name"' in text for text in texts] == [True, False]
    assert 'id="error-hostname"' in texts[0]


async def test_a_team_invites_and_changes(browser: Client, anna: Person) -> None:
    team = await ensure_operator_team()
    ben = await sign_in("ben")
    await Membership.create(user_id=ben.user.id, team_id=team.id, role=Role.MEMBER)
    path = f"/team/{team.name}"
    made = await post(browser, anna, f"{path}/invitations", role="viewer")
    assert made.headers["Location"] == path
    texts = [await (await browser.get(path)).text() for _ in range(2)]
    assert ["?invitation=" in text for text in texts] == [True, False]
    invitation = await Invitation.get(team_id=team.id)
    assert (await post(browser, anna, f"{path}/invitations/{invitation.id}/withdraw")).status == 303
    assert not await Invitation.exists(team_id=team.id)
    member = f"{path}/members/{ben.user.id}"
    assert (await post(browser, anna, member, role="viewer")).status == 303
    assert (await Membership.get(user_id=ben.user.id, team_id=team.id)).role is Role.VIEWER
    assert "Remove ben" in await (await browser.get(f"{member}/remove")).text()
    assert (await post(browser, anna, f"{member}/remove")).status == 303
    assert not await Membership.exists(user_id=ben.user.id, team_id=team.id)


async def test_only_operators_switch_plugins(site: Site, browser: Client, anna: Person) -> None:
    ben = await sign_in("ben")
    other = await site.client(ben)
    path = "/admin/plugins/limits/disable"
    assert (await post(other, ben, path)).status == 403
    assert "Switch off" not in await (await other.get("/admin/plugins")).text()
    assert (await other.get("/admin/workers")).status == 403
    assert disabled_plugins(site.platform.home) == []
    assert (await post(browser, anna, path)).status == 303
    assert disabled_plugins(site.platform.home) == ["limits"]
    assert await Event.exists(kind="plugin.disabled", actor=anna.user.id)
    assert "Off from the next start" in await (await browser.get("/admin/plugins")).text()
    assert (await post(browser, anna, "/admin/plugins/nothing/disable")).status == 404
    assert (await post(browser, anna, "/admin/plugins/limits/enable")).status == 303
    assert disabled_plugins(site.platform.home) == []


@pytest.mark.parametrize(
    ("role", "refused"),
    [
        (
            Role.VIEWER,
            "stop restart deploy settings clear-cache environment domains delete webhook "
            "environment/unset rollback previews credentials credentials/remove webhook/paths",
        ),
        (
            Role.MEMBER,
            "environment domains delete webhook environment/unset previews "
            "credentials credentials/remove webhook/paths",
        ),
    ],
)
async def test_no_form_goes_beyond_a_role(
    site: Site, anna: Person, role: Role, refused: str
) -> None:
    await furnish(site.platform)
    person = await sign_in("vera")
    team = await ensure_operator_team()
    await Membership.filter(user_id=person.user.id).delete()
    await Membership.create(user_id=person.user.id, team_id=team.id, role=role)
    client = await site.client(person)
    before = await Event.all().count()
    for path in refused.split():
        answer = await post(client, person, f"/services/shop/{path}", name="X", typed="shop")
        assert answer.status == 403, path
    for path in ("environment/unset?name=X", "delete", "webhook/renew", "credentials/remove"):
        assert (await client.get(f"/services/shop/{path}")).status == 403
    assert await Event.all().count() == before


def test_lines_of_a_file_of_variables() -> None:
    text = "# c\nA=1\nexport B = two \nC='x y'\n\nD\n"
    assert read_lines(text) == {"A": "1", "B": "two", "C": "x y", "D": ""}
