"""GitHub is connected, a repository picked, and its pull request has a preview, in a browser."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.e2e.harness import Installation, running, until
from tests.github_stand_in import rest
from tests.github_stand_in.oauth import OAuthServer

from .conftest import Person
from .test_dashboard import is_live

# Two services are built, each by a platform that has to start first.
pytestmark = [pytest.mark.e2e, pytest.mark.long, pytest.mark.timeout(300)]


@dataclass(frozen=True, slots=True)
class GitHub:
    """The stand-in, which serves from a thread of its own."""

    hub: rest.StandIn
    oauth: OAuthServer
    loop: asyncio.AbstractEventLoop

    def send(self, repo: rest.Repo, event: str, payload: dict[str, Any]) -> list[dict[str, Any]]:
        """Send an event to the webhooks of a repository; return what they answer."""
        sent = asyncio.run_coroutine_threadsafe(self.hub.send(repo, event, payload), self.loop)
        return sent.result(60)


@pytest.fixture(scope="module")
def github(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GitHub]:
    began, ended = threading.Event(), asyncio.Event()
    told: list[GitHub] = []

    async def serve() -> None:
        oauth = OAuthServer()
        async with rest.running(tmp_path_factory.mktemp("hub") / "github", oauth) as hub:
            told.append(GitHub(hub, oauth, asyncio.get_running_loop()))
            began.set()
            await ended.wait()

    thread = threading.Thread(target=asyncio.run, args=(serve(),), daemon=True)
    thread.start()
    assert began.wait(60)
    yield told[0]
    told[0].loop.call_soon_threadsafe(ended.set)
    thread.join(30)


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory, github: GitHub) -> Iterator[Installation]:
    """A platform whose GitHub is the stand-in."""
    settings = {
        "HELVETIA_GITHUB_URL": github.hub.url,
        "HELVETIA_GITHUB_CLIENT_ID": github.oauth.client_id,
        "HELVETIA_GITHUB_CLIENT_SECRET": github.oauth.client_secret,
    }
    home = tmp_path_factory.mktemp("github") / "home"
    with running(Installation(home, **settings)) as installation:
        github.oauth.callbacks = (f"http://127.0.0.1:{installation.http_port}/auth/github/",)
        yield installation


def test_from_a_picked_repository_to_a_preview(person: Person, github: GitHub) -> None:
    page = person.page
    github.oauth.person("ada")
    for name in ("ada/site", "ada/tools", "acme/other"):
        repo = github.hub.repo(name, ada="admin")
        repo.commit(**{"index.html": f"<h1>main of {name}</h1>"})
    site = github.hub.find("ada/site")
    assert site is not None
    first = site.commit("feature-7", **{"index.html": "<h1>feature</h1>"})

    page.goto("/new/github")
    page.get_by_role("link", name="Connect GitHub").click()
    page.get_by_role("button", name="Connect").click()
    page.get_by_role("link", name="Also private repositories").click()
    expect(page.get_by_role("heading", name="Ways to sign in")).to_be_visible()
    page.goto("/new/github")
    expect(page.locator(".rows li")).to_have_count(3)
    page.get_by_label("Search").fill("ada/")
    page.get_by_role("button", name="Search").click()
    expect(page.locator(".rows li")).to_have_count(2)
    page.locator("li", has_text="ada/site").get_by_role("link", name="Other branch…").click()
    expect(page.locator(".rows li")).to_have_count(2)
    page.get_by_role("link", name="main", exact=True).click()
    expect(page.get_by_label("Git repository")).to_have_value(f"{github.hub.url}/ada/site")
    expect(page.get_by_label("Branch, tag or commit")).to_have_value("main")
    page.get_by_role("button", name="Show the plan").click()
    page.get_by_role("button", name="Go on").click()
    page.get_by_role("button", name="Create and deploy").click()
    page.wait_for_url("**/deployments/*")
    is_live(person)
    assert b"main of ada/site" in person.platform.get("site.localhost")[1]
    until("the webhook is made", lambda: site.hooks, seconds=60)

    page.goto("/services/site/previews")
    page.get_by_label("Most at once").fill("none")
    page.get_by_role("button", name="Switch on").click()
    expect(page.get_by_label("Most at once")).to_have_attribute("aria-invalid", "true")
    page.get_by_label("Most at once").fill("3")
    page.get_by_role("button", name="Switch on").click()
    expect(page.get_by_role("status").first).to_contain_text("Saved")
    (told,) = github.send(site, "pull_request", github.hub.pull(site, 7, "opened", first))
    assert told["status"] == 202
    row = page.locator("tr", has_text="#7")
    expect(row).to_contain_text("Change 7", timeout=60_000)
    expect(row).to_contain_text("Active", timeout=60_000)
    assert b"feature" in person.platform.get("pr-7-site.localhost")[1]
    row.get_by_role("link", name="Remove…").click()
    page.get_by_role("dialog").get_by_role("button", name="Remove it").click()
    expect(page.locator("main")).to_contain_text("No previews", timeout=60_000)
    page.get_by_role("link", name="Switch off…").click()
    page.get_by_role("dialog").get_by_role("button", name="Switch them off").click()
    expect(page.get_by_role("status").first).to_contain_text("switched off")

    page.goto("/account")
    row = page.locator("li", has_text="GitHub")
    row.get_by_role("link", name="Disconnect…").click()
    page.get_by_role("dialog").get_by_role("button", name="Disconnect it").click()
    expect(page.get_by_role("status").first).to_contain_text("disconnected")
    until("the token is given back", lambda: github.oauth.revoked)
