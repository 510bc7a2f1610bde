"""The REST client and the App's tokens against a strict stand-in of GitHub, over real HTTP."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web

from helvetia.kernel.errors import SettingsError
from helvetia.plugins.github import app, client
from helvetia.plugins.github.addresses import api_url, clone_url, repository_name
from helvetia.plugins.github.client import GitHubClient, token_header
from helvetia.plugins.github.errors import GitHubDown, GitHubError, GitHubLimited, GitHubRefused
from helvetia.plugins.github.settings import GitHubSettings
from tests.github_stand_in.rest import StandIn, running


@pytest.fixture
async def github(tmp_path: Path) -> AsyncIterator[StandIn]:
    async with running(tmp_path / "github") as stand_in:
        yield stand_in


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "_PAUSE_SECONDS", 0.01)
    monkeypatch.setattr(client, "_WRITE_SECONDS", 0.0)
    client._kept.clear()
    app._tokens.clear()


def speaking(github: StandIn, token: str, **more: float) -> GitHubClient:
    async def authorize(renew: bool) -> str:
        return token_header(token)

    return GitHubClient(f"{github.url}/api/v3", f"user:{token}", authorize, **more)


def settings(github: StandIn, tmp_path: Path) -> GitHubSettings:
    key = tmp_path / "app.pem"
    key.write_bytes(github.private_key())
    return GitHubSettings(url=github.url, app_id=github.app_id, private_key_file=key)


async def test_three_pages_and_then_for_nothing(github: StandIn) -> None:
    token = github.user("ada")
    for number in range(7):
        github.repo(f"ada/app-{number}", ada="admin")
    github.page_size = 3
    for round in range(2):
        async with speaking(github, token) as ada:
            pages = [page async for page in ada.pages("/user/repos")]
        assert [len(page) for page in pages] == [3, 3, 1]
        assert [status for _, _, status in github.log[-3:]] == [[200] * 3, [304] * 3][round]
    # What was kept for one person is never given to another.
    async with speaking(github, github.user("eve")) as eve:
        assert [page async for page in eve.pages("/user/repos")] == [[]]


async def test_a_next_page_elsewhere_is_not_followed(github: StandIn) -> None:
    def lure(request: web.Request) -> web.Response:
        return web.json_response([], headers={"Link": '<http://evil.test/x>; rel="next"'})

    github.fault = lure
    async with speaking(github, github.user("ada")) as ada:
        with pytest.raises(GitHubError, match="not on its API"):
            [page async for page in ada.pages("/user/repos")]


async def test_a_renamed_repository_is_followed_and_a_lure_is_not(github: StandIn) -> None:
    token = github.user("ada")
    repo = github.repo("ada/old", ada="admin")
    github.rename(repo, "ada/new")
    async with speaking(github, token) as ada:
        assert (await ada.get("/repos/ada/old"))["full_name"] == "ada/new"
        made = await ada.ask(
            "POST", "/repos/ada/old/statuses/" + "a" * 40, body={"state": "success"}
        )
        assert made.status == 201
        github.fault = lambda _: web.Response(status=301, headers={"Location": "http://evil/x"})
        with pytest.raises(GitHubError, match="not on its API"):
            await ada.get("/repos/ada/old")


async def test_a_failing_github_is_asked_again_but_nothing_is_made_twice(github: StandIn) -> None:
    token, asked = github.user("ada"), []

    def fail_twice(request: web.Request) -> web.Response | None:
        asked.append(request.method)
        return web.Response(status=502) if len(asked) < 3 else None

    github.fault = fail_twice
    async with speaking(github, token) as ada:
        assert (await ada.get("/user"))["login"] == "ada"
        assert asked == ["GET"] * 3
        github.fault = lambda _: (asked.append("x"), web.Response(status=500))[1]
        with pytest.raises(GitHubDown, match="answers 500"):
            await ada.ask("POST", "/repos/ada/x/hooks", body={})
        assert asked == [*["GET"] * 3, "x"]


async def test_limits_are_waited_for_if_that_is_short(github: StandIn) -> None:
    token, left = github.user("ada"), [{"Retry-After": "0"}, {"Retry-After": "0"}]

    def limited(request: web.Request) -> web.Response | None:
        if not left:
            return None
        text = '{"message": "You have exceeded a secondary rate limit"}'
        return web.Response(status=403, text=text, headers=left.pop())

    github.fault = limited
    async with speaking(github, token) as ada:
        assert (await ada.get("/user"))["login"] == "ada"
        left.append({"Retry-After": "3600"})
        with pytest.raises(GitHubLimited) as caught:
            await ada.get("/user")
        assert caught.value.retry_after == 3600
        reset = int(time.time()) + 1800
        left.append({"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": str(reset)})
        with pytest.raises(GitHubLimited) as caught:
            await ada.get("/user")
        assert 1790 < (caught.value.retry_after or 0) < 1810
        # Without a word about when, it is a minute.
        left.append({})
        with pytest.raises(GitHubLimited) as caught:
            await ada.get("/user")
        assert caught.value.retry_after == 60


async def test_a_refusal_is_told_without_the_token(github: StandIn) -> None:
    sso = "required; url=https://github.com/orgs/acme/sso?x=1"
    github.fault = lambda _: web.json_response(
        {"message": "Resource protected by organization SAML enforcement."},
        status=403, headers={"X-GitHub-SSO": sso},
    )  # fmt: skip
    async with speaking(github, "gho_secret") as ada:
        with pytest.raises(GitHubRefused) as caught:
            await ada.get("/repos/acme/x")
    assert "orgs/acme/sso" in caught.value.hint
    github.fault = None
    async with speaking(github, "gho_secret") as ada:
        with pytest.raises(GitHubRefused, match="Bad credentials") as caught:
            await ada.get("/user")
    assert caught.value.answered == 401
    assert "gho_secret" not in repr(caught.value) + caught.value.hint


async def test_nobody_there(github: StandIn) -> None:
    github.port = 1
    async with speaking(github, "x") as ada:
        with pytest.raises(GitHubDown, match="does not answer"):
            await ada.ask("POST", "/user")


async def test_a_token_of_the_app_is_kept_renewed_and_replaced(
    github: StandIn, tmp_path: Path
) -> None:
    repo = github.repo("acme/app")
    number = github.install("acme", repo)
    values = settings(github, tmp_path)
    async with app.installation_client(values, number) as acme:
        assert (await acme.get("/repos/acme/app"))["id"] == repo.id
        await acme.get("/repos/acme/app")
        minted = [path for method, path, _ in github.log if method == "POST"]
        assert len(minted) == 1
        # Refused in the middle: another one is made, once.
        github.tokens.clear()
        assert (await acme.get("/repos/acme/app"))["id"] == repo.id
    token = await app.installation_token(values, number)
    assert len(token) > 255
    # About to end: a new one is made before.
    github.token_seconds = 200
    renewed = await app.installation_token(values, number, renew=True)
    assert renewed != token != await app.installation_token(values, number) != renewed


async def test_a_clone_token_reads_one_repository(github: StandIn, tmp_path: Path) -> None:
    one, other = github.repo("acme/one"), github.repo("acme/other")
    number = github.install("acme", one, other)
    values = settings(github, tmp_path)
    token = await app.installation_token(
        values, number, repositories=(one.id,), permissions=app.READ_CONTENTS
    )
    assert github.tokens[token].permissions == {"contents": "read"}
    async with speaking(github, token) as acme:
        assert (await acme.get("/repos/acme/one"))["id"] == one.id
        with pytest.raises(GitHubRefused):
            await acme.get("/repos/acme/other")


async def test_a_wrong_key_is_told(github: StandIn, tmp_path: Path) -> None:
    values = settings(github, tmp_path)
    assert values.private_key_file is not None
    values.private_key_file.write_text("no key")
    with pytest.raises(SettingsError, match="private key"):
        await app.installation_token(values, 1)


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("https://github.com/ada/app", "ada/app"),
        ("https://github.com/ada/app.git", "ada/app"),
        ("https://GitHub.com/Ada/App.git/", "Ada/App"),
        ("https://github.com:443/ada/app", "ada/app"),
        ("ada/app", "ada/app"),
        ("ada/.github", "ada/.github"),
        ("https://evil.tld/github.com/x", None),
        ("https://github.com.evil.tld/ada/app", None),
        ("https://notgithub.com/ada/app", None),
        ("https://github.com@evil.tld/ada/app", None),
        ("https://github.com\\@evil.tld/ada/app", None),
        ("https://evil.tld#@github.com/ada/app", None),
        ("https://ada:pw@github.com/ada/app", None),
        ("http://github.com/ada/app", None),
        ("https://github.com:444/ada/app", None),
        ("https://github.com/ada/app/tree/main", None),
        ("https://github.com/ada/..", None),
        ("https://github.com/ada/%2e%2e", None),
        ("https://github.com/ada/app?x", None),
        ("-ada/app", None),
        ("ada/..", None),
        ("ada/app\n", None),
        ("../app", None),
        ("/ada/app", None),
        ("upload:ada/app", None),
        ("git@github.com:ada/app.git", None),
    ],
)
def test_only_addresses_of_github_are_its_own(address: str, name: str | None) -> None:
    assert repository_name(address, GitHubSettings()) == name


@pytest.mark.parametrize(
    ("values", "api"),
    [
        ({}, "https://api.github.com"),
        ({"url": "https://git.corp.example/"}, "https://git.corp.example/api/v3"),
        ({"url": "https://acme.ghe.com"}, "https://api.acme.ghe.com"),
        ({"url": "https://x.example", "api_url": "https://y.example/a/"}, "https://y.example/a"),
    ],
)
def test_where_the_api_is(values: dict[str, str], api: str) -> None:
    assert api_url(GitHubSettings(**values)) == api


def test_where_to_clone_from() -> None:
    assert clone_url("a/b", GitHubSettings(url="https://g.example/")) == "https://g.example/a/b.git"
