"""Sign-in by password: links, passwords, throttling, and what the pages do not tell."""

from __future__ import annotations

import asyncio
import re
from datetime import timedelta
from typing import Any

import pytest
from aiohttp import FormData
from argon2 import PasswordHasher
from tortoise.timezone import now

from helvetia.plugins.auth.local import links
from helvetia.plugins.auth.local.models import OneTimeLink, Password, Purpose
from helvetia.plugins.auth.local.passwords import Hasher, weakness
from helvetia.plugins.auth.local.provider import LocalAuth
from helvetia.plugins.auth.local.throttle import Throttle

from .conftest import CHEAP, Client, Sign

COMPLETE = "/auth/local/complete"
GOOD = "mountain rail 1871"


def token_of(path: str | None) -> str:
    assert path is not None
    assert path.startswith("/auth/local?link=")
    return path.partition("=")[2]


def account(token: str, **changes: str) -> dict[str, str]:
    return {"link": token, "name": "Anna", "password": GOOD, "again": GOOD, **changes}


async def first_account(client: Client, provider: LocalAuth) -> dict[str, Any]:
    answer = await client.post(COMPLETE, data=account(token_of(await provider.first_run())))
    assert answer.status == 200
    made: dict[str, Any] = await answer.json()
    return made


async def sign_in(client: Client, name: str = "Anna", password: str = GOOD) -> Any:
    return await client.post(COMPLETE, data={"name": name, "password": password})


async def test_first_run_makes_an_account_that_signs_in(
    client: Client, provider: LocalAuth
) -> None:
    path = await provider.first_run()
    assert path is not None
    page = await client.get(path)
    assert page.status == 200
    assert "Create the first account" in await page.text()
    assert page.headers["Cache-Control"] == "no-store"
    assert page.headers["Referrer-Policy"] == "same-origin"

    made = await (await client.post(COMPLETE, data=account(token_of(path)))).json()
    assert made["name"] == "Anna"
    assert made["may_register"] is True
    assert made["subject"] not in ("Anna", "anna")

    again = await (await sign_in(client, "  aNNA ")).json()
    assert again == {"subject": made["subject"], "name": "Anna", "may_register": False}
    (row,) = await Password.all()
    assert row.hash.startswith("$argon2id$")
    assert GOOD not in row.hash


async def test_two_posts_at_once_make_one_account(client: Client, provider: LocalAuth) -> None:
    token = token_of(await provider.first_run())
    answers = await asyncio.gather(
        *(client.post(COMPLETE, data=account(token, name=f"user{n}")) for n in range(6))
    )
    assert sorted(answer.status for answer in answers) == [200, 410, 410, 410, 410, 410]
    assert await Password.all().count() == 1


async def test_a_used_link_is_void(client: Client, provider: LocalAuth) -> None:
    path = await provider.first_run()
    assert path is not None
    assert (await client.post(COMPLETE, data=account(token_of(path)))).status == 200
    page = await client.get(path)
    assert page.status == 410
    text = await page.text()
    assert "helvetia up" in text
    assert "helvetia users link" in text
    late = await client.post(COMPLETE, data=account(token_of(path), name="mallory"))
    assert late.status == 410


async def test_a_link_ends_after_an_hour(client: Client, provider: LocalAuth) -> None:
    path = await provider.first_run()
    assert path is not None
    (link,) = await OneTimeLink.all()
    assert timedelta(minutes=59) < link.expires_at - now() <= timedelta(hours=1)
    await OneTimeLink.all().update(expires_at=now() - timedelta(seconds=1))
    assert (await client.get(path)).status == 410
    assert (await client.post(COMPLETE, data=account(token_of(path)))).status == 410
    assert await Password.all().count() == 0


async def test_a_new_start_voids_the_former_link(client: Client, provider: LocalAuth) -> None:
    former, latter = await provider.first_run(), await provider.first_run()
    assert former is not None
    assert latter is not None
    assert (await client.get(former)).status == 410
    assert (await client.get(latter)).status == 200


async def test_the_token_is_not_stored(provider: LocalAuth) -> None:
    token = token_of(await provider.first_run())
    (link,) = await OneTimeLink.all()
    assert token not in (link.digest, link.subject)
    assert len(token) >= 43


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"password": "short1234", "again": "short1234"}, "at least 10 characters"),
        ({"name": "annabellas", "password": "AnnaBellas", "again": "AnnaBellas"}, "user name"),
        ({"password": "Password123", "again": "Password123"}, "first that are tried"),
        ({"again": "mountain rail 1872"}, "not the same"),
        ({"name": "<b>"}, "A user name has"),
        ({"name": ""}, "A user name has"),
        ({"name": "ß" * 40}, "A user name has"),
        ({"password": "x" * 1025, "again": "x" * 1025}, "at most"),
    ],
)
async def test_a_refused_form_says_why_and_keeps_the_link(
    client: Client, provider: LocalAuth, changes: dict[str, str], told: str
) -> None:
    token = token_of(await provider.first_run())
    answer = await client.post(COMPLETE, data=account(token, **changes))
    assert answer.status == 422
    text = await answer.text()
    assert told in text
    assert changes.get("password", GOOD) not in text.replace('value="annabellas"', "")
    assert await Password.all().count() == 0
    assert (await client.post(COMPLETE, data=account(token))).status == 200


def test_ten_characters_of_any_kind_will_do() -> None:
    assert weakness("aaaa bbbb c", "anna") == ""
    assert weakness("ünïcödé ☃☃", "anna") == ""


async def test_wrong_password_and_unknown_name_look_the_same(
    client: Client, provider: LocalAuth
) -> None:
    await first_account(client, provider)
    pages = []
    for name in ("Anna", "Zora"):
        answer = await sign_in(client, name, "not the password")
        assert answer.status == 401
        pages.append((await answer.text()).replace(name, "NAME"))
    assert pages[0] == pages[1]
    assert "The user name or the password is not right." in pages[0]


async def test_an_unknown_name_costs_a_real_verification() -> None:
    calls: list[str] = []

    class Counting(PasswordHasher):
        def verify(self, hash: str | bytes, password: str | bytes) -> Any:
            calls.append(str(hash))
            return super().verify(hash, password)

    counting = Counting(time_cost=1, memory_cost=64, parallelism=1)
    assert await Hasher(counting).verify(None, GOOD) is False
    (nobody,) = calls
    assert nobody.startswith(counting.hash(GOOD).rsplit("$", 2)[0])


async def test_guessing_is_slowed_down_and_forgiven(mount: Sign) -> None:
    clock = [1000.0]
    provider = LocalAuth(Hasher(CHEAP), Throttle(10, 60, clock=lambda: clock[0]))
    client = await mount(provider)
    await first_account(client, provider)
    guesses = await asyncio.gather(*(sign_in(client, password=f"guess {n}") for n in range(14)))
    assert sorted(g.status for g in guesses) == [401] * 10 + [429] * 4
    barred = await sign_in(client)
    assert barred.status == 429, "the right password must not tell a guesser that it is right"
    assert 0 < int(barred.headers["Retry-After"]) <= 60
    assert (await sign_in(client, "Zora", "whatever else")).status == 401
    clock[0] += 61
    assert (await sign_in(client)).status == 200
    assert [(await sign_in(client, password="no no no no")).status for _ in range(10)] == [401] * 10


def test_the_throttle_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("helvetia.plugins.auth.local.throttle._MOST_KEYS", 100)
    throttle = Throttle(1, 60)
    for n in range(1000):
        assert throttle.attempt(n) == 0
    assert len(throttle._seen) == 100
    assert throttle.attempt(999) > 0


async def test_an_outdated_hash_is_replaced(client: Client, provider: LocalAuth) -> None:
    await first_account(client, provider)
    old = PasswordHasher(time_cost=2, memory_cost=128, parallelism=1).hash(GOOD)
    await Password.all().update(hash=old)
    assert (await sign_in(client)).status == 200
    (row,) = await Password.all()
    assert row.hash != old
    assert not CHEAP.check_needs_rehash(row.hash)
    assert (await sign_in(client)).status == 200


@pytest.mark.parametrize(
    ("asked", "kept"),
    [
        ("/services/web?a=1", "/services/web?a=1"),
        ("https://evil.example/", "/"),
        ("//evil.example/", "/"),
        ("/\\evil.example", "/"),
        ("/\t/evil.example", "/"),
        ("javascript:alert(1)", "/"),
        ("", "/"),
    ],
)
async def test_next_stays_on_this_site(client: Client, asked: str, kept: str) -> None:
    text = await (await client.get("/auth/local", params={"next": asked})).text()
    assert re.search(r'name="next" value="([^"]*)"', text)[1] == kept  # type: ignore[index]
    answer = await client.post(COMPLETE, data={"name": "x", "password": "y", "next": asked})
    assert re.search(r'name="next" value="([^"]*)"', await answer.text())[1] == kept  # type: ignore[index]


async def test_hostile_names_are_escaped(client: Client) -> None:
    hostile = "\"><script>alert('x')</script>"
    text = await (await sign_in(client, hostile, "wrong password")).text()
    assert "<script" not in text
    assert "&lt;script&gt;" in text
    assert "onerror=" not in text
    assert "<style" not in text
    assert " style=" not in text


async def test_reset_changes_one_password(client: Client, provider: LocalAuth) -> None:
    made = await first_account(client, provider)
    path = await links.issue(Purpose.RESET, subject=made["subject"])
    page = await (await client.get(path)).text()
    assert 'value="Anna" required maxlength="64"' in page
    assert "readonly" in page
    changed = account(token_of(path), name="mallory", password=GOOD + "!", again=GOOD + "!")
    answer = await (await client.post(COMPLETE, data=changed)).json()
    assert answer == {"subject": made["subject"], "name": "Anna", "may_register": False}
    assert (await sign_in(client)).status == 401
    assert (await sign_in(client, password=GOOD + "!")).status == 200
    assert (await client.get(path)).status == 410


async def test_an_invitation_takes_no_ones_name(client: Client, provider: LocalAuth) -> None:
    made = await first_account(client, provider)
    path = await links.issue(Purpose.INVITE)
    taken = await client.post(COMPLETE, data=account(token_of(path), name="anna"))
    assert taken.status == 409
    assert "already" in await taken.text()
    assert (await sign_in(client)).status == 200
    ben = await client.post(COMPLETE, data=account(token_of(path), name="Ben"))
    assert ben.status == 200
    assert (await ben.json())["subject"] != made["subject"]
    assert (await ben.json())["may_register"] is True


async def test_first_run_again_after_a_start_cut_short(client: Client, provider: LocalAuth) -> None:
    """The platform died between the password and the user: the same name works again."""
    made = await first_account(client, provider)
    again = await first_account(client, provider)
    assert again["subject"] == made["subject"]
    assert again["may_register"] is True


async def test_files_and_strange_bodies_are_just_wrong(client: Client) -> None:
    assert (await client.post(COMPLETE, data=b"\xff\x00")).status == 401
    form = FormData()
    form.add_field("name", b"Anna", filename="anna.txt")
    assert (await client.post(COMPLETE, data=form)).status == 401
    assert (await client.post(COMPLETE, data={"link": "nope"})).status == 410
    redirect = await client.get(COMPLETE, allow_redirects=False)
    assert (redirect.status, redirect.headers["Location"]) == (303, "/auth/local")
