"""Signing in and out, sessions, CSRF, tokens, the pages of plugins."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from urllib.parse import quote

import pytest
from http_support import TOKENS, Answer, World, given_cookies, make_service, sign_in, user

from helvetia import Identity
from helvetia.cli.local_operator import local_token
from helvetia.kernel import accounts
from helvetia.kernel.errors import Forbidden
from helvetia.kernel.http.origin import local_path
from helvetia.kernel.models import Account, Membership, Role, Service, Session, Token, User, utcnow
from helvetia.kernel.secrets import digest
from helvetia.plugins.api import tokens

NEW = {"name": "web", "source": "https://git.example/app.git"}
LOCAL = ["/", "/services/web", "/a?b=c&d=/e", "/a//b", "/%2f%2fevil", "/a#b"]
ELSEWHERE = [
    None, "", "services", "//evil.example", "///evil", "/\\evil.example", "\\\\evil", "/a\\b",
    "http://evil.example", "https:evil", "javascript:alert(1)", " /a", "/a b", "/\t/evil.example",
    "/\n/evil", "/a\r\nSet-Cookie: x=y", "/\x00", "/\u2028", "/ü", "/" + "a" * 3000,
]  # fmt: skip


@pytest.fixture
async def browser(world: World) -> tuple[str, Session]:
    """The cookie and session of the first user, who is operator."""
    return await sign_in(world)


@pytest.mark.parametrize("path", LOCAL)
def test_a_path_of_ours_is_followed(path: str) -> None:
    assert local_path(path) == path


@pytest.mark.parametrize("path", ELSEWHERE)
def test_a_path_elsewhere_is_not(path: str | None) -> None:
    assert local_path(path) == "/"


@pytest.mark.parametrize(
    ("path", "target"),
    [("/services/web", "/services/web"), *((bad, "/") for bad in ELSEWHERE[3:9])],
)
async def test_after_the_sign_in(world: World, path: str, target: str) -> None:
    headers = {"Origin": world.url}
    by_form = await _complete(world, {"subject": "anna", "next": path}, headers)
    assert (by_form.status, by_form.headers["Location"]) == (303, target)
    by_address = await world.get(
        f"/auth/form/complete?subject=anna&next={quote(path, safe='')}", who=None
    )
    assert (by_address.status, by_address.headers["Location"]) == (303, target)
    begun = await world.get(f"/auth/form?next={quote(path, safe='')}", who=None)
    kept = "; ".join(f"{name}={value}" for name, value in given_cookies(begun).items())
    assert bool(kept) is (target != "/")
    by_cookie = await world.get(
        "/auth/form/complete?subject=anna", who=None, headers={"Cookie": kept}
    )
    assert by_cookie.headers["Location"] == target


async def test_the_cookie_is_for_browsers_alone(world: World) -> None:
    answer = await _complete(world, {"subject": "anna"}, {"Origin": world.url})
    cookie = answer.headers["Set-Cookie"]
    assert cookie.startswith("helvetia_session=ey")
    assert {part.strip() for part in cookie.split(";")[1:]} >= {
        "HttpOnly",
        "SameSite=Lax",
        "Path=/",
    }
    assert "Secure" not in cookie
    assert "Domain" not in cookie
    host = world.url.removeprefix("http://")
    behind_tls = {"X-Forwarded-Proto": "https", "Origin": f"https://{host}"}
    answer = await _complete(world, {"subject": "anna"}, behind_tls)
    cookie = answer.headers["Set-Cookie"]
    assert cookie.startswith("__Host-helvetia_session=ey")
    assert set(cookie.split("; ")[1:]) >= {"HttpOnly", "Secure", "SameSite=Lax", "Path=/"}
    # A cookie that came in the open does not count over TLS.
    plain = cookie.removeprefix("__Host-").partition(";")[0]
    answer = await world.get("/api/v1/me", who=None, headers={"Cookie": plain, **behind_tls})
    assert answer.status == 401


async def test_the_first_person_is_operator_and_the_next_needs_an_invitation(world: World) -> None:
    assert not await accounts.has_operator()
    # Somebody who only came by first does not get the installation.
    early = await _complete(world, {"subject": "eve", "stranger": "1"}, {"Origin": world.url})
    assert early.status == 403
    cookie, _ = await sign_in(world, "zoe", stranger="1", invited="1")
    me = (await world.get("/api/v1/me", who=None, headers={"Cookie": cookie})).json
    assert not me["is_operator"]
    assert not await accounts.has_operator()
    cookie, _ = await sign_in(world)
    assert await accounts.has_operator()
    me = (await world.get("/api/v1/me", who=None, headers={"Cookie": cookie})).json
    assert (me["name"], me["is_operator"], me["team"]) == ("anna", True, "default")

    refused = await _complete(world, {"subject": "ben"}, {"Origin": world.url})
    assert (refused.status, refused.json["code"]) == (403, "forbidden")
    assert "Set-Cookie" not in refused.headers
    cookie, _ = await sign_in(world, "ben", invited="yes")
    me = (await world.get("/api/v1/me", who=None, headers={"Cookie": cookie})).json
    assert (me["is_operator"], me["team"]) == (False, f"team-{me['id']}")
    await sign_in(world, "ben")
    assert await Account.all().count() == 3


async def test_only_one_becomes_the_first(world: World) -> None:
    identities = [Identity(subject=f"p{number}", name="p", may_found=True) for number in range(6)]
    results = await asyncio.gather(
        *(accounts.user_for_identity("form", one) for one in identities), return_exceptions=True
    )
    assert sum(isinstance(result, User) for result in results) == 1
    assert sum(isinstance(result, Forbidden) for result in results) == 5
    assert await User.filter(is_operator=True, name="p").count() == 1


async def test_one_person_coming_in_twice_at_once_is_one(world: World) -> None:
    identity = Identity(subject="p", name="p", may_register=True)
    users = await asyncio.gather(*(accounts.user_for_identity("form", identity) for _ in range(5)))
    assert len({one.id for one in users}) == 1


async def test_the_command_line_is_operator_and_no_first_user(world: World) -> None:
    first = await local_token()
    second = await local_token()
    assert not await accounts.has_operator()
    old = await world.get("/api/v1/me", who=None, headers={"Authorization": f"Bearer {first}"})
    assert old.status == 401
    me = await world.get("/api/v1/me", who=None, headers={"Authorization": f"Bearer {second}"})
    assert (me.json["name"], me.json["is_operator"], me.json["team"]) == (
        "local operator", True, "default",
    )  # fmt: skip
    _, session = await sign_in(world)
    assert (await User.get(id=session.user_id)).is_operator
    # What the command line made is the first person's too.
    await world.call(
        "POST",
        "/api/v1/services",
        who=None,
        json=NEW,
        headers={"Authorization": f"Bearer {second}"},
    )
    team = await Membership.get(user_id=session.user_id)
    assert (await Service.get(name="web")).team_id == team.team_id


async def test_a_session_is_new_after_every_sign_in(world: World) -> None:
    old, _ = await sign_in(world)
    headers = {"Origin": world.url, "Cookie": old}
    answer = await _complete(world, {"subject": "anna"}, headers)
    new = answer.headers["Set-Cookie"].partition(";")[0]
    assert new != old
    assert (await world.get("/api/v1/me", who=None, headers={"Cookie": old})).status == 401
    assert (await world.get("/api/v1/me", who=None, headers={"Cookie": new})).status == 200


async def test_signing_out_ends_the_session(world: World, browser: tuple[str, Session]) -> None:
    cookie, session = browser
    headers = {"Cookie": cookie, "Origin": world.url}
    refused = await world.call("POST", "/auth/sign-out", who=None, headers=headers)
    assert refused.status == 403
    answer = await world.call(
        "POST", "/auth/sign-out", who=None, headers=headers, data={"csrf_token": session.csrf}
    )
    assert (answer.status, answer.headers["Location"]) == (303, "/")
    assert "Max-Age=0" in answer.headers["Set-Cookie"]
    assert (await world.get("/api/v1/me", who=None, headers={"Cookie": cookie})).status == 401


async def test_an_old_session_is_none(world: World, browser: tuple[str, Session]) -> None:
    cookie, session = browser
    await Session.filter(id=session.id).update(expires_at=utcnow() - timedelta(seconds=1))
    assert (await world.get("/api/v1/me", who=None, headers={"Cookie": cookie})).status == 401


@pytest.mark.parametrize(
    "cookie", ["helvetia_session=x", "helvetia_session=", "helvetia_session=ü"]
)
async def test_a_made_up_session_is_none(world: World, cookie: str) -> None:
    assert (await world.get("/api/v1/me", who=None, headers={"Cookie": cookie})).status == 401


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 403),
        ({"X-CSRF-Token": "wrong"}, 403),
        ({"X-CSRF-Token": "ü"}, 403),
        ({"X-CSRF-Token": "CSRF"}, 201),
        ({"X-CSRF-Token": "CSRF", "Origin": "OWN"}, 201),
        ({"X-CSRF-Token": "CSRF", "Origin": "OWN", "Sec-Fetch-Site": "same-origin"}, 201),
        ({"X-CSRF-Token": "CSRF", "Origin": "null", "Sec-Fetch-Site": "same-origin"}, 201),
        ({"X-CSRF-Token": "CSRF", "Origin": "null"}, 403),
        ({"X-CSRF-Token": "CSRF", "Origin": "http://evil.example"}, 403),
        ({"X-CSRF-Token": "CSRF", "Origin": "OWN.evil.example"}, 403),
        ({"X-CSRF-Token": "CSRF", "Origin": "HTTPS-OWN"}, 403),
        ({"X-CSRF-Token": "CSRF", "Sec-Fetch-Site": "same-site"}, 403),
        ({"X-CSRF-Token": "CSRF", "Sec-Fetch-Site": "cross-site", "Origin": "OWN"}, 403),
    ],
)
async def test_a_change_by_cookie_needs_our_own_page(
    world: World, browser: tuple[str, Session], headers: dict[str, str], status: int
) -> None:
    cookie, session = browser
    names = {
        "CSRF": session.csrf,
        "OWN": world.url,
        "OWN.evil.example": f"{world.url}.evil.example",
        "HTTPS-OWN": world.url.replace("http:", "https:"),
    }
    sent = {name: names.get(value, value) for name, value in headers.items()}
    answer = await world.post("/api/v1/services", NEW, who=None, headers={**sent, "Cookie": cookie})
    assert answer.status == status
    assert await Service.all().count() == (1 if status == 201 else 0)


async def test_a_token_needs_no_csrf_and_is_looked_at_before_the_cookie(
    world: World, browser: tuple[str, Session]
) -> None:
    assert (await world.post("/api/v1/services", NEW, headers={"Cookie": browser[0]})).status == 201
    wrong = {"Cookie": browser[0], "Authorization": "Bearer hv_wrong"}
    assert (await world.get("/api/v1/me", who=None, headers=wrong)).status == 401


async def test_a_sign_in_made_by_another_site_is_refused(world: World) -> None:
    for headers in ({"Origin": "http://evil.example"}, {"Sec-Fetch-Site": "cross-site"}):
        answer = await _complete(world, {"subject": "anna"}, headers)
        assert answer.status == 403
    assert await Session.all().count() == 0


async def test_a_provider_that_breaks_tells_strangers_nothing(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    answer = await world.get("/auth/form?broken=1", who=None)
    assert (answer.status, answer.json["code"]) == (502, "sign-in-failed")
    assert b"secret" not in answer.raw
    assert "secret detail" in caplog.text
    assert (await world.get("/auth/nothing", who=None)).status == 404


async def test_the_first_run_link_of_the_real_provider(world: World) -> None:
    link = await world.platform.providers.auth.get("local").provider.first_run()
    assert link is not None
    page = await world.get(link, who=None)
    assert page.status == 200
    # Browsers would send `Origin: null` otherwise.
    assert page.headers["Referrer-Policy"] == "same-origin"
    form = {
        "link": link.partition("link=")[2],
        "name": "anna",
        "password": "correct horse battery staple",
        "again": "correct horse battery staple",
        "next": "/services",
    }
    headers = {"Origin": world.url, "Sec-Fetch-Site": "same-origin"}
    answer = await world.call("POST", "/auth/local/complete", who=None, data=form, headers=headers)
    assert (answer.status, answer.headers["Location"]) == (303, "/services")
    cookie = answer.headers["Set-Cookie"].partition(";")[0]
    me = await world.get("/api/v1/me", who=None, headers={"Cookie": cookie})
    assert (me.json["name"], me.json["is_operator"]) == ("anna", True)
    used = await world.call("POST", "/auth/local/complete", who=None, data=form, headers=headers)
    assert used.status == 410
    # It raises its redirect, as is usual with aiohttp.
    lost = await world.get("/auth/local/complete", who=None)
    assert (lost.status, lost.headers["Location"]) == (303, "/auth/local")


# --- tokens -----------------------------------------------------------------------------------


async def test_a_token_is_shown_once_and_kept_as_a_hash(world: World) -> None:
    made = await world.post("/api/v1/tokens", {"name": "ci", "expires_in_days": 1})
    clear = made.json["token"]
    assert clear.startswith("hv_")
    assert (await Token.get(name="ci")).digest == digest(clear)
    listed = (await world.get("/api/v1/tokens")).json["items"]
    assert [one["name"] for one in listed] == ["test", "ci"]
    assert all(one["token"] is None for one in listed)
    headers = {"Authorization": f"Bearer {clear}"}
    assert (await world.get("/api/v1/me", who=None, headers=headers)).status == 200
    assert (await world.call("DELETE", f"/api/v1/tokens/{made.json['id']}")).status == 204
    assert (await world.get("/api/v1/me", who=None, headers=headers)).status == 401
    assert (await world.call("DELETE", f"/api/v1/tokens/{made.json['id']}")).status == 404
    assert [one["name"] for one in (await world.get("/api/v1/tokens")).json["items"]] == ["test"]


async def test_an_expired_token_is_none(world: World) -> None:
    clear, token = await tokens.create(await user("owner"), name="x", expires_in_days=1)
    await Token.filter(id=token.id).update(expires_at=utcnow() - timedelta(seconds=1))
    headers = {"Authorization": f"Bearer {clear}"}
    assert (await world.get("/api/v1/me", who=None, headers=headers)).status == 401


@pytest.mark.parametrize(
    "value", ["Bearer", "Bearer ", "Basic hv_owner", "hv_owner", "Bearer hv_owner x", "Bearer ü"]
)
async def test_what_is_no_token(world: World, value: str) -> None:
    answer = await world.get("/api/v1/me", who=None, headers={"Authorization": value})
    assert answer.status == 401


async def test_the_last_use_is_written_once_a_minute(world: World) -> None:
    async def used() -> object:
        return (await Token.get(digest=digest(TOKENS["owner"]))).last_used_at

    await world.get("/api/v1/me")
    first = await used()
    assert first is not None
    await world.get("/api/v1/me")
    assert await used() == first
    before = utcnow() - timedelta(minutes=2)
    await Token.filter(digest=digest(TOKENS["owner"])).update(last_used_at=before)
    await world.get("/api/v1/me")
    assert await used() != before


async def test_a_person_without_a_team_may_make_nothing(world: World) -> None:
    lonely = await User.create(name="lonely")
    clear, _ = await tokens.create(lonely, name="x")
    headers = {"Authorization": f"Bearer {clear}"}
    for method in ("GET", "POST"):
        answer = await world.call(method, "/api/v1/services", who=None, json=NEW, headers=headers)
        assert (answer.status, answer.json["code"]) == (403, "forbidden")
    operator = await world.post("/api/v1/services", NEW, who="operator")
    assert operator.status == 201


async def test_a_role_counts_in_its_team_only(world: World) -> None:
    await make_service()
    await Membership.filter(user__name="stranger").update(role=Role.OWNER)
    await Membership.create(
        user=await user("stranger"),
        team_id=(await Service.get(name="web")).team_id,
        role=Role.VIEWER,
    )
    assert (await world.get("/api/v1/services/web", who="stranger")).status == 200
    answer = await world.call("DELETE", "/api/v1/services/web", who="stranger")
    assert answer.status == 403


async def test_rights_end_with_the_request_that_ends_them(world: World) -> None:
    """Nothing is remembered of a caller between two requests."""
    await make_service()
    for path in ("/api/v1/services", "/api/v1/services/web"):
        assert (await world.get(path, who="owner")).status == 200
    await Membership.filter(user__name="owner").update(role=Role.VIEWER)
    assert (await world.call("DELETE", "/api/v1/services/web", who="owner")).status == 403
    await Membership.filter(user__name="owner").delete()
    assert (await world.get("/api/v1/services/web", who="owner")).status == 404
    await User.filter(name="owner").update(is_operator=True)
    assert (await world.get("/api/v1/services/web", who="owner")).status == 200
    await Token.filter(digest=digest(TOKENS["owner"])).update(revoked_at=utcnow())
    assert (await world.get("/api/v1/services/web", who="owner")).status == 401


async def test_a_burst_of_first_requests_waits_for_one_write(world: World) -> None:
    answers = await asyncio.gather(*(world.get("/api/v1/me", who="owner") for _ in range(12)))
    assert {answer.status for answer in answers} == {200}
    assert (await Token.get(digest=digest(TOKENS["owner"]))).last_used_at is not None


# --- pages of plugins -------------------------------------------------------------------------


async def test_a_page_leads_people_to_the_sign_in_and_back(world: World) -> None:
    for headers in ({"Accept": "text/html,*/*"}, {"Sec-Fetch-Mode": "navigate"}):
        answer = await world.get("/desk?tab=logs&x=%26", who=None, headers=headers)
        assert answer.status == 303
        assert answer.headers["Location"] == "/auth?next=/desk%3Ftab%3Dlogs%26x%3D%2526"
    for headers in ({}, {"Accept": "text/html", "Sec-Fetch-Mode": "cors"}):
        assert (await world.get("/desk", who=None, headers=headers)).status == 401
    assert (await world.post("/desk", who=None, headers={"Accept": "text/html"})).status == 401


async def test_a_page_knows_who_asks(world: World, browser: tuple[str, Session]) -> None:
    cookie, session = browser
    answer = await world.get("/desk", who=None, headers={"Cookie": cookie})
    assert answer.raw == b"hello anna"
    assert (await world.post("/desk", who=None, headers={"Cookie": cookie})).status == 403
    form = {"csrf_token": session.csrf}
    answer = await world.call("POST", "/desk", who=None, data=form, headers={"Cookie": cookie})
    assert answer.status == 200


async def test_a_public_page_takes_what_others_send(
    world: World, browser: tuple[str, Session]
) -> None:
    answer = await world.call("POST", "/hook", who=None, data=b"event")
    assert answer.raw == b"event"
    foreign = {"Authorization": "Signature x"}
    assert (await world.call("POST", "/hook", who=None, headers=foreign)).status == 200
    # With a session it could act for somebody.
    answer = await world.call("POST", "/hook", who=None, headers={"Cookie": browser[0]})
    assert answer.status == 403


async def test_a_page_without_a_response_is_the_plugins_fault(world: World) -> None:
    answer = await world.get("/broken", who=None)
    assert (answer.status, answer.json["code"]) == (500, "plugin-error")
    assert "plugin pages" in answer.json["detail"]


async def test_the_pages_of_a_plugin_in_quarantine_are_gone(world: World) -> None:
    world.platform.plugins.quarantine("pages", "test")
    assert (await world.get("/desk")).status == 404


async def _complete(world: World, form: dict[str, str], headers: dict[str, str]) -> Answer:
    return await world.call("POST", "/auth/form/complete", who=None, data=form, headers=headers)
