"""From nobody to a push that is live, in a browser, with a GitHub that nobody here wrote."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from tests.e2e.harness import Installation, running, until
from tests.github_stand_in.emulated import Emulated, Pusher, emulating

from .conftest import DESKTOP, Complaints

# The emulator and its Node are installed, and a platform starts.
pytestmark = [pytest.mark.e2e, pytest.mark.long, pytest.mark.timeout(600)]

_CLIENT, _SECRET, _PUSHER = "Iv1.helvetia", "a secret of the client", "the token of a machine"


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Installation:
    return Installation(tmp_path_factory.mktemp("emulated") / "home")


@pytest.fixture(scope="module")
def github(
    tmp_path_factory: pytest.TempPathFactory, installation: Installation
) -> Iterator[Emulated]:
    callback = f"http://127.0.0.1:{installation.http_port}/auth/github/complete"
    client = {"client_id": _CLIENT, "client_secret": _SECRET, "name": "Helvetia"}
    seed = {
        "tokens": {_PUSHER: {"login": "ada", "scopes": ["repo"]}},
        "github": {
            "users": [{"login": "ada", "name": "Ada", "email": "ada@example.org"}],
            "repos": [
                {"owner": "ada", "name": "site", "private": True},
                {"owner": "ada", "name": "tools"},
            ],
            "oauth_apps": [{**client, "redirect_uris": [callback]}],
        },
    }
    with emulating(tmp_path_factory.mktemp("hub"), seed) as github:
        yield github


@pytest.fixture(scope="module")
def platform(installation: Installation, github: Emulated) -> Iterator[Installation]:
    """A platform that nobody has an account of, and to which one person may come."""
    settings = {
        "HELVETIA_GITHUB_URL": github.url,
        "HELVETIA_GITHUB_API_URL": github.url,
        "HELVETIA_GITHUB_CLIENT_ID": _CLIENT,
        "HELVETIA_GITHUB_CLIENT_SECRET": _SECRET,
        "HELVETIA_AUTH_GITHUB_USERS": "ada",
    }
    with running(installation, **settings) as there:
        yield there


def test_from_a_sign_in_to_a_push_that_is_live(
    platform: Installation, github: Emulated, chromium: Browser, complaints: Complaints
) -> None:
    machine = Pusher(github, "ada/site", _PUSHER)
    first = machine.push("One", **{"index.html": "<h1>the first</h1>"})
    base = f"http://127.0.0.1:{platform.http_port}"
    context = chromium.new_context(base_url=base, viewport=DESKTOP)
    context.set_default_timeout(60_000)
    page = context.new_page()
    complaints.watch(page)

    page.goto("/auth/github")
    page.get_by_role("link", name="Continue to GitHub").click()
    page.get_by_role("button", name="ada").click()
    page.get_by_role("heading", name="Services", exact=True).wait_for()

    page.goto("/new/github")
    # The sign-in has asked for no repository; this does.
    page.get_by_role("button", name="Let it at more").click()
    page.get_by_role("link", name="Also private repositories").click()
    page.get_by_role("button", name="ada").click()
    page.get_by_role("heading", name="Repository at GitHub").wait_for()
    expect(page.locator(".rows li")).to_have_count(2)
    page.locator("li", has_text="ada/site").get_by_role("link", name="Other branch…").click()
    page.get_by_role("link", name="main", exact=True).click()
    page.get_by_role("button", name="Show the plan").click()
    page.get_by_role("button", name="Go on").click()
    page.get_by_role("button", name="Create and deploy").click()
    page.wait_for_url("**/deployments/*")
    expect(page.locator("main")).to_contain_text("Live", timeout=120_000)
    assert b"the first" in platform.get("site.localhost")[1]
    hooks = until("the webhook is made", lambda: machine.ask("hooks"), seconds=120)
    assert [one["events"] for one in hooks] == [["push", "pull_request"]]

    second = machine.push("Two", **{"index.html": "<h1>the second</h1>"})
    until("it is live", lambda: b"the second" in platform.get("site.localhost")[1], seconds=120)
    page.goto("/services/site")
    expect(page.locator("main")).to_contain_text(second[:7])
    context.close()

    asked, sent = github.authorized[-1], github.exchanged[-1]
    digest = hashlib.sha256(sent["code_verifier"].encode()).digest()
    assert base64.urlsafe_b64encode(digest).rstrip(b"=").decode() == asked["code_challenge"]
    assert "repo" in asked["scope"].split()
    assert asked["scope"] != github.authorized[0]["scope"] == "read:user user:email"
    # The repository is private: git was let in with what the sign-in gave, and with nothing else.
    assert github.denied
    assert first != second
    shown = " ".join(path.read_text(errors="replace") for path in _files(platform.home))
    assert not [token for token in github.tokens if token in shown]


def _files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file() and not path.is_symlink()]
