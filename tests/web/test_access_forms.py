"""Forms for private repositories, teams and webhooks, and steps that have addresses."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from helvetia.kernel import environment
from helvetia.kernel.models import Membership, Role, Service, Team
from helvetia.plugins.api.models import SharedVariable
from helvetia.plugins.sources.git.credentials.models import Credentials
from helvetia.plugins.webhooks.models import Webhook
from tests.e2e.harness import Repository

from .conftest import Client, Site
from .test_actions import post
from .world import Person, add_log, add_service, sign_in


async def test_a_token_for_a_private_repository_is_given_and_forgotten(
    browser: Client, anna: Person
) -> None:
    service = await add_service("web")
    path = "/services/web/credentials"
    assert f'href="{path}"' in await (await browser.get("/services/web/settings")).text()
    assert "A private repository needs a token" in await (await browser.get(path)).text()
    bad = await post(browser, anna, path, username="a\nda", password="s3cret-token")
    text = await bad.text()
    assert bad.status == 422
    assert 'id="error-username"' in text
    assert 'value="a\nda"' in text
    good = await post(browser, anna, path, username="ada", password="s3cret-token")
    assert good.headers["Location"] == f"{path}?done=credentials"
    kept = await Credentials.get(service_id=service.id)
    assert (kept.kind, kept.username) == ("password", "ada")
    shown = await (await browser.get(path)).text()
    assert "Read with a token or password" in shown
    assert "s3cret-token" not in shown
    asked = await (await browser.get(f"{path}/remove")).text()
    assert "Forget the credentials of web?" in asked
    assert (await post(browser, anna, f"{path}/remove")).status == 303
    assert not await Credentials.exists(service_id=service.id)
    again = await post(browser, anna, f"{path}/remove")
    assert again.status == 404
    assert "no credentials were given" in await again.text()


async def test_a_deploy_key_is_made_or_taken(browser: Client, anna: Person) -> None:
    service = await add_service("web", source="git@git.example.com:acme/web.git")
    path = "/services/web/credentials"
    made = await post(browser, anna, path, private_key="")
    assert made.status == 303
    shown = await (await browser.get(path)).text()
    assert "Give this to the Git host as a deploy key" in shown
    assert (await Credentials.get(service_id=service.id)).public_key in shown
    bad = await post(browser, anna, path, private_key="no key")
    assert bad.status == 422
    assert 'id="error-private_key"' in await bad.text()


async def test_an_uploaded_service_has_no_such_page_to_be_led_to(browser: Client) -> None:
    await add_service("web", source="upload:" + "0" * 64)
    assert "/credentials" not in await (await browser.get("/services/web/settings")).text()


async def test_variables_of_a_team_come_and_go(site: Site, browser: Client, anna: Person) -> None:
    service = await add_service("web")
    path = "/team/default/variables"
    assert "No variables" in await (await browser.get(path)).text()
    bad = await post(browser, anna, path, name="1BAD", value="s3cret", lines="OTHER=x")
    text = await bad.text()
    assert (bad.status, 'value="1BAD"' in text, "OTHER=x" in text) == (422, True, True)
    assert 'id="error-name"' in text
    good = await post(browser, anna, path, name="ONE", value="1", lines="TWO=2", scopes="run")
    assert good.headers["Location"] == f"{path}?done=team-variables"
    await service.refresh_from_db()
    vault = site.platform.vault
    values = await environment.values(service.id, service.environment_version, vault)
    assert values == {"ONE": "1", "TWO": "2"}
    shown = await (await browser.get("/services/web/environment")).text()
    assert "of the team" in shown
    asked = await (await browser.get(f"{path}/unset?name=ONE")).text()
    assert "Remove the variable ONE?" in asked
    assert (await post(browser, anna, f"{path}/unset", name="ONE")).status == 303
    assert [row.name for row in await SharedVariable.all()] == ["TWO"]
    assert (await post(browser, anna, f"{path}/unset", name="ONE")).status == 422


async def test_a_team_is_left_and_deleted(site: Site, browser: Client, anna: Person) -> None:
    last = await post(browser, anna, "/team/default/leave")
    assert last.status == 409
    assert "they are the last owner" in await last.text()
    # The team of the installation cannot be deleted, and no button says that it can.
    assert "Delete this team" not in await (await browser.get("/team")).text()

    await post(browser, anna, "/team", name="shops")
    page = await (await browser.get("/team/shops")).text()
    assert "Delete this team" in page
    wrong = await post(browser, anna, "/team/shops/delete", typed="shop")
    assert wrong.status == 422
    service = await add_service("web")
    team = await Team.get(name="shops")
    await Service.filter(id=service.id).update(team_id=team.id)
    full = await post(browser, anna, "/team/shops/delete", typed="shops")
    assert full.status == 409
    assert "has services: web" in await full.text()
    await Service.filter(id=service.id).delete()

    ben = await sign_in("ben")
    await Membership.create(user_id=ben.user.id, team_id=team.id, role=Role.ADMIN)
    other = await site.client(ben)
    assert "Delete this team" not in await (await other.get("/team/shops")).text()
    assert (await post(other, ben, "/team/shops/delete", typed="shops")).status == 403
    assert "Leave shops?" in await (await other.get("/team/shops/leave")).text()
    assert (await post(other, ben, "/team/shops/leave")).headers["Location"] == "/team?done=left"
    assert not await Membership.exists(user_id=ben.user.id, team_id=team.id)
    assert (await other.get("/team/shops/delete")).status == 404
    gone = await post(browser, anna, "/team/shops/delete", typed="shops")
    assert gone.headers["Location"] == "/team?done=team-deleted"
    assert not await Team.exists(name="shops")


async def test_which_files_deploy_is_changed_without_new_secrets(
    browser: Client, anna: Person
) -> None:
    service = await add_service("web")
    await post(browser, anna, "/services/web/webhook")
    before = await Webhook.get(service_id=service.id)
    path = "/services/web/webhook/paths"
    bad = await post(browser, anna, path, paths="web/*\n!!docs")
    text = await bad.text()
    assert bad.status == 422
    assert "web/*\n!!docs</textarea>" in text
    assert 'id="error-paths"' in text
    good = await post(browser, anna, path, paths="web/*\n\n  !web/docs/* \n")
    assert good.headers["Location"] == "/services/web/deliveries?done=webhook-paths"
    now = await Webhook.get(service_id=service.id)
    assert now.paths == ["web/*", "!web/docs/*"]
    assert (now.secret, now.deploy_digest) == (before.secret, before.deploy_digest)
    shown = await (await browser.get("/services/web/deliveries")).text()
    assert "pushes that change web/*, !web/docs/*" in shown
    await post(browser, anna, path, paths="")
    assert "each push to main" in await (await browser.get("/services/web/deliveries")).text()


async def test_options_of_the_source_have_fields_of_their_own(
    browser: Client, anna: Person
) -> None:
    service = await add_service("web")
    path, fields = "/services/web/settings", {"source": service.source_url, "ref": "main"}
    bad = await post(browser, anna, path, **fields, **{"settings.source.lfs": "pointers"}, type="?")
    text = await bad.text()
    assert (bad.status, 'value="pointers"' in text) == (422, True)
    assert 'id="error-type"' in text
    assert "files of Git LFS are fetched" in text
    option = {"settings.source.submodules": "true"}
    assert (await post(browser, anna, path, **fields, **option, type="auto")).status == 303
    await service.refresh_from_db()
    assert service.settings["source"] == {"submodules": "true"}


async def test_each_step_of_a_new_service_can_be_loaded_again(
    browser: Client, anna: Person, tmp_path: Path
) -> None:
    repository = Repository(tmp_path / "repository")
    repository.commit("Begin", {"index.html": "<h1>here</h1>"})
    source = str(repository.folder)
    planned = await post(browser, anna, "/new", step="plan", source=source, name="Sooner")
    address = planned.headers["Location"]
    assert planned.status == 303
    assert parse_qs(urlsplit(address).query) == {
        "step": ["plan"], "source": [source], "name": ["Sooner"],
    }  # fmt: skip
    for _ in range(2):
        text = await (await browser.get(address)).text()
        assert "What would be done, and why" in text
        assert 'name="name" value="Sooner"' in text
    limit = {"limits.memory_mb": "64"}
    detailed = await post(browser, anna, "/new", step="details", source=source, **limit)
    text = await (await browser.get(detailed.headers["Location"])).text()
    assert 'value="64"' in text
    # Somebody else's link must not have a repository fetched.
    elsewhere = await browser.get(address, headers={"Sec-Fetch-Site": "cross-site"})
    assert "Where does it come from?" in await elsewhere.text()
    refused = await browser.get("/new?step=plan&source=nowhere")
    text = await refused.text()
    assert refused.status >= 400
    assert 'value="nowhere"' in text


@pytest.mark.parametrize(
    "fields",
    [
        {"source": "https://ada:s3cret@git.example.com/a.git"},
        {"source": "https://git.example.com/a.git", "environment": "TOKEN=s3cret"},
    ],
)
async def test_nothing_secret_gets_into_an_address(
    browser: Client, anna: Person, fields: dict[str, str]
) -> None:
    for step in ("source", "details"):
        answer = await post(browser, anna, "/new", step=step, **fields)
        assert (answer.status, "Location" in answer.headers) == (200, False)
        assert "s3cret" in await answer.text(), "what was typed is kept"


async def test_without_scripts_there_is_the_log_of_one_instance(
    site: Site, browser: Client
) -> None:
    service = await add_service("web")
    lines = [("r1.aaaa", "stdout", "one"), ("r1.bbbb", "stdout", "two"), ("", "platform", "x")]
    await add_log(site.platform, f"service:{service.id}", lines)
    text = await (await browser.get("/services/web/logs?instance=bbbb")).text()
    assert ('<span class="text">two' in text, '<span class="text">one' in text) == (True, False)
    assert "Only what the instance bbbb wrote." in text
    assert (await browser.get("/services/web/logs?instance=<b>")).status == 422
