"""Signing in by GitHub over real HTTP: a browser, the platform, and a strict OAuth server."""

from __future__ import annotations

import asyncio
import html
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from browser import LINKS, Browser, link
from http_support import World, open_platform, serve

from helvetia import Identity
from helvetia.kernel import accounts
from helvetia.kernel.models import Account, Event, Session, User
from helvetia.plugins.auth.github import grants
from helvetia.plugins.auth.github.models import Grant
from tests.github_stand_in.oauth import OAuthServer, running_oauth


@pytest.fixture
async def github() -> AsyncIterator[OAuthServer]:
    async with running_oauth() as server:
        yield server


@pytest.fixture
async def world(
    request: pytest.FixtureRequest, migrated: Path, tmp_path: Path, github: OAuthServer
) -> AsyncIterator[World]:
    """A platform that signs in by the stand-in; indirect parameters are settings."""
    settings = {
        "HELVETIA_GITHUB_URL": github.url,
        "HELVETIA_GITHUB_CLIENT_ID": github.client_id,
        "HELVETIA_GITHUB_CLIENT_SECRET": github.client_secret,
        **getattr(request, "param", {"HELVETIA_AUTH_GITHUB_USERS": "Ada, bob"}),
    }
    home = shutil.copytree(migrated, tmp_path / "home")
    async with open_platform(home, **settings) as platform, serve(platform) as world:
        github.callbacks = (f"{world.url}/auth/github/",)
        yield world


@pytest.fixture
async def browser(world: World) -> AsyncIterator[Browser]:
    async with Browser(world) as browser:
        yield browser


listed = pytest.mark.parametrize(
    "world", [{"HELVETIA_AUTH_GITHUB_ORGANISATIONS": "ACME"}], indirect=True
)
unlisted = pytest.mark.parametrize("world", [{}], indirect=True)


async def test_the_whole_way(world: World, github: OAuthServer, browser: Browser) -> None:
    person = github.person("ada", email="ada@example.org")
    page = await browser.go(f"{world.url}/auth/github?next=/services/web")
    for told in (b"read:user", b"user:email", b"e-mail", github.url.partition("//")[2].encode()):
        assert told in page.raw
    asked = parse_qs(urlsplit(link(page)).query)
    assert asked["scope"] == ["read:user user:email"]
    assert asked["code_challenge_method"] == ["S256"]
    answer = await browser.sign_in(next="/services/web")
    assert (answer.status, answer.headers["Location"]) == (303, "/services/web")
    me = await browser.me()
    # The list names her: the installation has nobody yet, and may be hers.
    assert (me["name"], me["email"], me["is_operator"]) == ("ada", "ada@example.org", True)
    account = await Account.get(user_id=me["id"])
    assert (account.provider, account.subject) == ("github", str(person.id))
    grant = await Grant.get()
    token = await grants.user_token(world.platform, me["id"])
    assert token in github.tokens
    assert token not in grant.token
    assert grant.scopes == "read:user user:email"
    assert not github.problems
    assert "helvetia_github" not in browser.cookies()


async def test_the_newest_token_is_kept(
    world: World, github: OAuthServer, browser: Browser
) -> None:
    github.person("ada")
    await browser.sign_in()
    me = await browser.me()
    first = await grants.user_token(world.platform, me["id"])
    await browser.sign_in()
    assert (await browser.me())["id"] == me["id"]
    second = await grants.user_token(world.platform, me["id"])
    assert first != second
    assert second in github.tokens
    assert await Grant.all().count() == 1


async def test_a_renamed_person_is_the_same_and_a_name_taken_over_is_not(
    world: World, github: OAuthServer, browser: Browser
) -> None:
    person = github.person("ada")
    await browser.sign_in()
    me = await browser.me()
    person.login = "bob"
    await browser.sign_in()
    assert (await browser.me())["id"] == me["id"]
    async with Browser(world) as other:
        github.person("ada")
        await other.sign_in()
        assert (await other.me())["id"] != me["id"]


async def test_an_address_that_github_has_not_verified_is_none(
    world: World, github: OAuthServer, browser: Browser
) -> None:
    github.person("ada", email="boss@example.org", verified=False)
    await browser.sign_in()
    assert (await browser.me())["email"] is None


async def test_less_may_be_granted_than_was_asked_for(
    world: World, github: OAuthServer, browser: Browser
) -> None:
    github.person("ada", email="ada@example.org")
    github.grants_less = True
    await browser.sign_in()
    assert (await browser.me())["email"] is None
    assert (await Grant.get()).scopes == "read:user"


@pytest.mark.parametrize("change", ["state", "code", "none", "replayed", "elsewhere", "late"])
async def test_an_answer_that_is_not_to_us(
    world: World,
    github: OAuthServer,
    browser: Browser,
    change: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    github.person("ada")
    back = await browser.way_back()
    visitor = browser
    if change == "state":
        back = back.replace("state=", "state=x")
    elif change == "code":
        back = back.replace("code=", "code=x")
    elif change == "none":
        back = back.partition("?")[0]
    elif change == "replayed":
        assert (await browser.ask("GET", back)).status == 303
        await Session.all().delete()
    elif change == "elsewhere":
        # Login CSRF: somebody is sent to finish a sign-in that another has begun.
        visitor = Browser(world)
        await visitor.__aenter__()
    else:
        monkeypatch.setattr("helvetia.plugins.auth.github.oauth.time.time", lambda: 2e10)
    answer = await visitor.ask("GET", back)
    assert answer.status == (401 if change == "code" else 400)
    assert b"<h1>" in answer.raw
    assert "helvetia_session" not in visitor.cookies() or change == "replayed"
    assert await Session.all().count() == 0
    await visitor.session.close()


async def test_the_verifier_of_another_sign_in_opens_nothing(
    world: World, github: OAuthServer, browser: Browser
) -> None:
    """A code that was caught on its way is of no use: PKCE."""
    github.person("ada")
    caught = parse_qs(urlsplit(await browser.way_back()).query)["code"][0]
    back = await browser.way_back()
    own = parse_qs(urlsplit(back).query)["code"][0]
    answer = await browser.ask("GET", back.replace(own, caught))
    assert answer.status == 401
    assert github.problems == ["bad_verification_code"]


async def test_who_does_not_agree_is_told_so(
    world: World, github: OAuthServer, browser: Browser
) -> None:
    github.person("ada")
    github.denies = True
    answer = await browser.sign_in()
    assert answer.status == 401
    assert b"not agreed" in answer.raw


@pytest.mark.parametrize("when", ["down", "gone", "secret"])
async def test_github_fails(world: World, github: OAuthServer, browser: Browser, when: str) -> None:
    github.person("ada")
    back = await browser.way_back()
    if when == "down":
        github.down = True
    elif when == "gone":
        world.platform.providers.auth.get("github").provider._settings.url = "http://127.0.0.1:9"  # type: ignore[attr-defined]
    else:
        github.client_secret = "another"
    answer = await browser.ask("GET", back)
    assert answer.status == (401 if when == "secret" else 502)
    assert b"GitHub" in answer.raw
    assert b"secret-1" not in answer.raw
    assert await Session.all().count() == 0


async def test_a_next_that_leads_elsewhere_leads_home(
    world: World, github: OAuthServer, browser: Browser
) -> None:
    github.person("ada")
    for path in ("//evil.example", "https://evil.example", "/\\evil.example"):
        answer = await browser.sign_in(next=path)
        assert answer.headers["Location"] == "/"


# --- who may come in ---------------------------------------------------------------------------


async def test_who_is_not_listed_stays_out_and_their_token_dies(
    world: World, github: OAuthServer, browser: Browser
) -> None:
    github.person("mallory")
    answer = await browser.sign_in()
    assert answer.status == 403
    assert b"mallory" in answer.raw
    assert not github.tokens
    assert len(github.revoked) == 1
    assert await Grant.all().count() == 0
    assert await User.filter(name="mallory").count() == 0


@unlisted
async def test_without_a_list_strangers_stay_out_and_get_no_installation(
    world: World, github: OAuthServer, browser: Browser
) -> None:
    github.person("mallory")
    answer = await browser.sign_in()
    assert (answer.status, answer.json["code"]) == (403, "forbidden")
    # GitHub had said yes: what it gave is given back.
    assert (len(github.tokens), len(github.revoked)) == (0, 1)
    assert not await accounts.has_operator()
    founder = Identity(subject="1", name="owner", may_found=True)
    assert (await accounts.user_for_identity("form", founder)).is_operator


@listed
async def test_members_of_an_organisation_come_in_and_do_not_own_it(
    world: World, github: OAuthServer, browser: Browser
) -> None:
    github.person("eve", organisations=["other"])
    assert (await browser.sign_in()).status == 403
    github.person("ben", organisations=["other", "Acme"])
    assert (await browser.sign_in()).status == 303
    assert not (await browser.me())["is_operator"]
    assert "read:org" in (await Grant.get()).scopes
    # Who leaves the organisation is let in no more.
    github.people["ben"].organisations = []
    async with Browser(world) as other:
        assert (await other.sign_in()).status == 403


# --- connecting and disconnecting ----------------------------------------------------------------


async def _form_user(browser: Browser, subject: str) -> None:
    headers = {"Origin": browser.world.url}
    form = {"subject": subject, "invited": "1"}
    url = f"{browser.world.url}/auth/form/complete"
    assert (await browser.ask("POST", url, data=form, headers=headers)).status == 303


async def _connect(browser: Browser, **form: str) -> str:
    """Go to GitHub and back, up to the last step; return the address of that."""
    page = await browser.post("/auth/github/connect", **form)
    assert page.status == 200, page.raw
    answer = await browser.ask("GET", link(page))
    return str(answer.headers["Location"])


async def test_connect_with_more_rights_sign_in_with_them_and_disconnect(
    world: World, github: OAuthServer, browser: Browser
) -> None:
    github.person("ada")
    await _form_user(browser, "anna")
    anna = (await browser.me())["id"]
    answer = await browser.ask("GET", await _connect(browser, access="private", next="/settings"))
    assert (answer.status, answer.headers["Location"]) == (303, "/settings")
    assert (await browser.me())["id"] == anna
    assert {one.provider for one in await Account.filter(user_id=anna)} == {"form", "github"}
    grant = await Grant.get()
    assert "repo" in grant.scopes.split()
    token = await grants.user_token(world.platform, anna)

    async with Browser(world) as other:
        await other.sign_in()
        assert (await other.me())["id"] == anna
    # Signing in asks for little; what was granted for repositories stays, and nothing is left over.
    assert await grants.user_token(world.platform, anna) == token
    assert set(github.tokens) == {token}

    shown = (await browser.ask("GET", f"{world.url}/api/v1/accounts")).json["items"]
    assert [one["provider"] for one in shown] == ["form", "github"]
    csrf = {"X-CSRF-Token": (await browser.me())["csrf_token"]}
    path = f"{world.url}/api/v1/accounts/github"
    assert (await browser.ask("DELETE", path, headers=csrf)).status == 204
    assert github.revoked[-1] == token
    assert not github.tokens
    assert await grants.user_token(world.platform, anna) is None
    assert (await browser.ask("DELETE", path, headers=csrf)).status == 404
    last = await browser.ask("DELETE", f"{world.url}/api/v1/accounts/form", headers=csrf)
    assert (last.status, last.json["code"]) == (409, "conflict")
    kinds = {event.kind for event in await Event.all()}
    assert {"account.connected", "account.disconnected"} <= kinds


async def test_who_connects_chooses_what_for(
    world: World, github: OAuthServer, browser: Browser
) -> None:
    github.person("ada")
    await _form_user(browser, "anna")
    page = await browser.post("/auth/github/connect")
    asked = [
        parse_qs(urlsplit(html.unescape(one)).query) for one in LINKS.findall(page.raw.decode())
    ]
    little = "read:user user:email"
    assert [one["scope"] for one in asked] == [
        [little], [f"{little} public_repo admin:repo_hook"], [f"{little} repo"],
    ]  # fmt: skip
    assert len({one["state"][0] for one in asked}) == 1
    one = await browser.post("/auth/github/connect", access="none")
    assert len(LINKS.findall(one.raw.decode())) == 1


async def test_what_is_somebody_elses_is_not_connected(
    world: World, github: OAuthServer, browser: Browser
) -> None:
    github.person("ada")
    await browser.sign_in()
    ada = (await browser.me())["id"]
    async with Browser(world) as other:
        await _form_user(other, "ben")
        answer = await other.ask("GET", await _connect(other))
        assert (answer.status, answer.json["code"]) == (409, "conflict")
    assert (await Account.get(provider="github")).user_id == ada
    # The token of the attempt is worthless, the one that Ada has granted is not.
    assert (len(github.tokens), len(github.revoked)) == (1, 1)
    kept = await grants.user_token(world.platform, ada)
    assert list(github.tokens) == [kept]


async def test_two_people_connecting_one_identity_at_once(
    world: World, github: OAuthServer
) -> None:
    github.person("ada")
    async with Browser(world) as one, Browser(world) as two:
        await _form_user(one, "anna")
        await _form_user(two, "ben")
        addresses = [await _connect(one), await _connect(two)]
        answers = await asyncio.gather(one.ask("GET", addresses[0]), two.ask("GET", addresses[1]))
    assert sorted(answer.status for answer in answers) == [303, 409]
    assert await Account.filter(provider="github").count() == 1


async def test_a_connection_belongs_to_the_session_that_began_it(
    world: World, github: OAuthServer, browser: Browser
) -> None:
    """Nobody's GitHub is put into an account whose owner did not ask for it."""
    github.person("ada")
    await _form_user(browser, "anna")
    back = await _connect(browser)
    # Somebody else signs in with the same browser meanwhile.
    await _form_user(browser, "ben")
    await browser.ask("GET", back)
    ben = await Account.get(provider="form", subject="ben")
    assert (await Account.get(provider="github")).user_id != ben.user_id
    # And without our own page it is not begun at all.
    forged = await browser.ask(
        "POST", f"{world.url}/auth/github/connect", headers={"Origin": "http://evil.example"}
    )
    assert forged.status == 403
    async with Browser(world) as nobody:
        answer = await nobody.ask("POST", f"{world.url}/auth/github/connect")
        assert answer.status == 401


async def test_the_ways_to_sign_in(world: World, github: OAuthServer, browser: Browser) -> None:
    page = await browser.go(f"{world.url}/auth?next=/services")
    assert page.status == 200
    for way in (b"/auth/local?next=/services", b"/auth/github?next=/services"):
        assert way in page.raw


@pytest.mark.parametrize(
    "world", [{"HELVETIA_GITHUB_CLIENT_SECRET": "", "HELVETIA_GITHUB_CLIENT_ID": ""}], indirect=True
)
async def test_what_is_not_set_up_is_not_offered(world: World, browser: Browser) -> None:
    page = await browser.go(f"{world.url}/auth")
    assert b"/auth/github" not in page.raw
    assert (await browser.go(f"{world.url}/auth/github")).status == 404


def test_the_example_of_the_standard() -> None:
    """RFC 7636, appendix B."""
    from authlib.oauth2.rfc7636 import create_s256_code_challenge

    verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
    assert create_s256_code_challenge(verifier) == "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
