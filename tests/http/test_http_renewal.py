"""Sessions that renew themselves, and end at once: races, copies, sockets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import aiohttp
import jwt
import pytest
from http_support import (
    ACCESS,
    REFRESH,
    Answer,
    World,
    given_cookies,
    make_deployment,
    make_service,
    open_platform,
    populate,
    serve,
    session_of,
)

from helvetia import sessions
from helvetia.kernel.models import Event, Session, utcnow
from helvetia.kernel.secrets import Vault
from helvetia.plugins.api import signed_in
from helvetia.plugins.auth.local import links
from helvetia.plugins.auth.local.models import Password, Purpose

ME = "/api/v1/me"


@pytest.fixture
async def either(database_url: str, tmp_path: Path) -> AsyncIterator[World]:
    """The same over SQLite and PostgreSQL."""
    async with (
        open_platform(tmp_path / "home", HELVETIA_DATABASE_URL=database_url) as platform,
        serve(platform) as world,
    ):
        await populate()
        yield world


async def jar_of(world: World, subject: str = "anna", **more: str) -> dict[str, str]:
    form = {"subject": subject, "invited": "1", **more}
    headers = {"Origin": world.url, "User-Agent": "Netscape\t4 " + "x" * 400}
    answer = await world.call("POST", "/auth/form/complete", who=None, data=form, headers=headers)
    assert answer.status == 303
    return given_cookies(answer)


async def ask(world: World, jar: dict[str, str], path: str = ME, **options: object) -> Answer:
    headers = {"Cookie": "; ".join(f"{name}={value}" for name, value in jar.items() if value)}
    headers |= options.pop("headers", {})  # type: ignore[operator, arg-type]
    method = str(options.pop("method", "GET"))
    return await world.call(method, path, who=None, headers=headers, **options)


async def use(world: World, jar: dict[str, str]) -> None:
    """Ask with the access token: what the renewal gave has arrived."""
    assert (await ask(world, {ACCESS: jar[ACCESS]})).status == 200


async def later(seconds: float) -> None:
    """Let the last renewal be some time ago."""
    for row in await Session.all():
        row.rotated_at -= timedelta(seconds=seconds)
        row.last_seen_at -= timedelta(seconds=seconds)
        await row.save()


async def test_many_renewals_with_one_token_turn_the_session_once(either: World) -> None:
    jar = await jar_of(either)
    only_refresh = {REFRESH: jar[REFRESH]}
    answers = await asyncio.gather(*(ask(either, only_refresh) for _ in range(12)))
    assert {answer.status for answer in answers} == {200}
    given = [given_cookies(answer) for answer in answers]
    generations = {
        jwt.decode(one[REFRESH], options={"verify_signature": False})["gen"] for one in given
    }
    assert generations == {1}
    assert (await Session.get()).generation == 1
    # Nobody is locked out, whichever answer came last.
    for one in given:
        assert (await ask(either, {ACCESS: one[ACCESS]})).status == 200
    assert (await ask(either, {REFRESH: given[-1][REFRESH]})).status == 200


async def test_a_copy_of_a_used_token_ends_the_session(either: World) -> None:
    jar = await jar_of(either)
    new = given_cookies(await ask(either, {REFRESH: jar[REFRESH]}))
    await later(3600)
    await use(either, new)
    stolen = await ask(either, {REFRESH: jar[REFRESH]})
    assert stolen.status == 401
    assert "Set-Cookie" not in stolen.headers
    # The thief and the owner are both out; only the owner can sign in again.
    for cookie in ({REFRESH: new[REFRESH]}, {ACCESS: new[ACCESS]}, jar):
        assert (await ask(either, cookie)).status == 401
    assert await Session.all().count() == 0
    assert await Event.filter(kind="session.reused").count() == 1


async def test_a_thief_who_was_faster_is_found_out(world: World) -> None:
    jar = await jar_of(world)
    stolen = given_cookies(await ask(world, {REFRESH: jar[REFRESH]}))
    await use(world, stolen)
    await later(3600)
    assert (await ask(world, {REFRESH: jar[REFRESH]})).status == 401
    assert (await ask(world, stolen)).status == 401


async def test_a_renewal_that_never_arrived_locks_nobody_out(world: World) -> None:
    jar = await jar_of(world)
    await ask(world, {REFRESH: jar[REFRESH]})
    await later(3600)
    again = await ask(world, {REFRESH: jar[REFRESH]})
    assert again.status == 200
    await use(world, given_cookies(again))


async def test_just_after_a_renewal_the_former_token_is_no_theft(world: World) -> None:
    jar = await jar_of(world)
    new = given_cookies(await ask(world, {REFRESH: jar[REFRESH]}))
    await use(world, new)
    assert (await ask(world, {REFRESH: jar[REFRESH]})).status == 200
    # Two generations ago it is, however soon.
    third = given_cookies(await ask(world, {REFRESH: new[REFRESH]}))
    assert (await ask(world, {REFRESH: jar[REFRESH]})).status == 401
    assert (await ask(world, third)).status == 401


async def test_a_page_goes_on_when_the_access_token_has_run_out(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("helvetia.sessions.tokens.ACCESS_LIFETIME", timedelta(seconds=-1))
    jar = await jar_of(world)
    assert (await ask(world, {ACCESS: jar[ACCESS]})).status == 401
    monkeypatch.undo()
    page = await ask(world, jar, "/desk")
    assert page.raw == b"hello anna"
    new = given_cookies(page)
    assert set(new) == {ACCESS, REFRESH}
    csrf = (await session_of(new[ACCESS])).csrf
    # A form of a page that was open meanwhile is taken as well, and nothing without its token.
    form = {"csrf_token": csrf}
    stale = {REFRESH: new[REFRESH]}
    assert (await ask(world, stale, "/desk", method="POST")).status == 403
    assert (await ask(world, stale, "/desk", method="POST", data=form)).status == 200
    headers = {"X-Forwarded-Proto": "https"}
    secure = {f"__Host-{REFRESH}": new[REFRESH]}
    answer = await ask(world, secure, headers=headers)
    assert set(given_cookies(answer)) == {f"__Host-{ACCESS}", f"__Host-{REFRESH}"}
    assert all("Secure" in one for one in answer.headers.getall("Set-Cookie"))


@pytest.mark.parametrize("made", ["none", "key", "use", "swapped", "text", "no-expiry"])
async def test_tokens_that_we_did_not_sign(world: World, made: str) -> None:
    jar = await jar_of(world)
    claims = jwt.decode(jar[ACCESS], options={"verify_signature": False})
    header = jwt.get_unverified_header(jar[ACCESS])
    key = world.platform.vault.signing_keys("sessions")[header["kid"]]
    kid = {"kid": header["kid"]}
    if made == "no-expiry":
        del claims["exp"]
    forged = {
        "none": jwt.encode(claims, "", algorithm="none", headers=kid),
        "key": jwt.encode(claims, b"k" * 32, algorithm="HS256", headers=kid),
        "use": jwt.encode(claims | {"aud": "other"}, key, algorithm="HS256", headers=kid),
        "swapped": jar[REFRESH],
        "text": "a.b.c",
        "no-expiry": jwt.encode(claims, key, algorithm="HS256", headers=kid),
    }[made]
    assert (await ask(world, {ACCESS: forged})).status == 401
    if made != "swapped":
        assert (await ask(world, {REFRESH: forged})).status == 401
    assert await Session.all().count() == 1


async def test_keys_may_be_replaced_and_taken_away(world: World) -> None:
    old, new = b"o" * 32, b"n" * 32
    person = await Session.get(id=(await session_of((await jar_of(world))[ACCESS])).id)
    user = await person.user
    given = await signed_in.begin(Vault([old]), user, {})
    both, one = (Vault(keys).signing_keys("sessions") for keys in ([new, old], [new]))
    assert sessions.read(both, given.access, "access")
    assert sessions.read(one, given.access, "access") is None


async def test_sessions_are_listed_and_ended(world: World) -> None:
    first, second = await jar_of(world), await jar_of(world)
    other = await jar_of(world, "ben")
    items = (await ask(world, first, "/api/v1/sessions")).json["items"]
    assert len(items) == 2
    [mine] = [one for one in items if one["is_current"]]
    assert mine["address"] == "127.0.0.1"
    assert mine["browser"].startswith("Netscape4 xxx")
    assert len(mine["browser"]) == 300
    [elsewhere] = [one for one in items if not one["is_current"]]
    csrf = {"X-CSRF-Token": (await ask(world, first)).json["csrf_token"]}
    foreign = (await ask(world, other, "/api/v1/sessions")).json["items"][0]["id"]
    # Anna is operator, Ben is not.
    bens = {"X-CSRF-Token": (await ask(world, other)).json["csrf_token"]}
    path = "/api/v1/sessions"
    taken = await ask(world, other, f"{path}/{mine['id']}", method="DELETE", headers=bens)
    assert taken.status == 404
    assert (await ask(world, other, f"{path}?user={mine['user']}")).status == 403
    ended = await ask(world, first, f"{path}/{elsewhere['id']}", method="DELETE", headers=csrf)
    assert ended.status == 204
    assert (await ask(world, second)).status == 401
    assert (await ask(world, first)).status == 200
    by_operator = await ask(world, first, f"{path}/{foreign}", method="DELETE", headers=csrf)
    assert by_operator.status == 204
    assert (await ask(world, other)).status == 401
    everywhere = await ask(world, first, path, method="DELETE", headers=csrf)
    assert (everywhere.status, everywhere.json) == (200, {"ended": 1})
    assert (await ask(world, first)).status == 401


async def test_a_session_is_not_for_ever(world: World) -> None:
    jar = await jar_of(world)
    await Session.all().update(created_at=utcnow() - timedelta(days=89, hours=23))
    jar = given_cookies(await ask(world, {REFRESH: jar[REFRESH]}))
    assert (await Session.get()).expires_at < utcnow() + timedelta(hours=2)
    await Session.all().update(expires_at=utcnow() - timedelta(seconds=1))
    for cookie in ({ACCESS: jar[ACCESS]}, {REFRESH: jar[REFRESH]}):
        assert (await ask(world, cookie)).status == 401


async def test_a_new_password_ends_all_sessions(world: World) -> None:
    jar = await jar_of(world)
    new = await jar_of(world, renewed="1")
    assert (await ask(world, jar)).status == 401
    assert (await ask(world, new)).status == 200


async def test_a_reset_of_the_real_provider_does_so(world: World) -> None:
    secret = "correct horse battery staple"
    form = {"name": "anna", "password": secret, "again": secret}
    headers = {"Origin": world.url}

    async def use_link(path: str) -> dict[str, str]:
        data = {**form, "link": path.partition("link=")[2]}
        answer = await world.call(
            "POST", "/auth/local/complete", who=None, data=data, headers=headers
        )
        assert answer.status == 303, answer.raw
        return given_cookies(answer)

    jar = await use_link(await links.issue(Purpose.FIRST_RUN))
    assert (await ask(world, jar)).json["is_operator"]
    person = await Password.get(login="anna")
    new = await use_link(await links.issue(Purpose.RESET, subject=person.subject))
    assert (await ask(world, jar)).status == 401
    assert (await ask(world, new)).status == 200


async def test_signing_out_everywhere_ends_an_open_socket(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("helvetia.plugins.api.sockets.READMIT_SECONDS", 0.1)
    deployment = await make_deployment(await make_service(), 1)
    jar = await jar_of(world)
    # Opened with nothing but the refresh token: the upgrade renews as every request does.
    path = f"{world.url}/api/v1/deployments/{deployment.id}/logs/follow"
    headers = {"Cookie": f"{REFRESH}={jar[REFRESH]}", "Origin": world.url}
    async with world.session.ws_connect(path, headers=headers) as socket:
        # However old the tokens of its request get, the socket is the session's.
        await later(3600)
        new = given_cookies(await ask(world, {REFRESH: jar[REFRESH]}))
        await use(world, new)
        await later(3600)
        for _ in range(3):
            with pytest.raises(TimeoutError):
                await socket.receive(0.15)
        csrf = {"X-CSRF-Token": (await ask(world, new)).json["csrf_token"]}
        ended = await ask(world, new, "/api/v1/sessions", method="DELETE", headers=csrf)
        assert ended.json == {"ended": 1}
        message = await socket.receive(10)
        assert (message.type, message.data) == (aiohttp.WSMsgType.CLOSE, 1008)
        assert message.extra == "unauthenticated"
