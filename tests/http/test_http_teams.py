"""Teams: members come and go, the last owner stays, and a link lets one person in."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from browser import Browser
from http_support import World, make_service, open_platform, populate, serve, user

from helvetia.kernel import events
from helvetia.kernel.models import Event, Membership, Role, Service, Team, User
from helvetia.plugins.api.models import Invitation
from helvetia.plugins.notifications.models import Channel

OURS = "/api/v1/teams/ours"
MEMBERS = f"{OURS}/members"


@pytest.fixture
async def either(database_url: str, tmp_path: Path) -> AsyncIterator[World]:
    """The same over SQLite and PostgreSQL."""
    async with (
        open_platform(tmp_path / "home", HELVETIA_DATABASE_URL=database_url) as platform,
        serve(platform) as world,
    ):
        await populate()
        yield world


async def id_of(name: str) -> str:
    return (await user(name)).id


async def role_of(name: str) -> Role | None:
    member = await Membership.get_or_none(user__name=name, team__name="ours")
    return member.role if member else None


async def set_role(world: World, name: str, role: str, who: str) -> int:
    body = {"role": role}
    path = f"{MEMBERS}/{await id_of(name)}"
    return (await world.call("PATCH", path, json=body, who=who)).status


async def test_members_come_and_go(world: World) -> None:
    stranger = await id_of("stranger")
    assert (await world.get(MEMBERS, who="stranger")).status == 404
    added = await world.post(MEMBERS, {"user": stranger, "role": "viewer"}, who="admin")
    assert (added.status, added.json["name"], added.json["role"]) == (201, "stranger", "viewer")
    names = [one["name"] for one in (await world.get(MEMBERS, who="stranger")).json["items"]]
    assert names == ["admin", "member", "owner", "stranger", "viewer"]
    again = await world.post(MEMBERS, {"user": stranger}, who="admin")
    assert again.status == 409
    nobody = await world.post(MEMBERS, {"user": "feed"}, who="admin")
    assert (nobody.status, nobody.fields()) == (422, {"user"})
    assert await set_role(world, "stranger", "member", "admin") == 200
    assert await set_role(world, "stranger", "king", "admin") == 422
    gone = await world.call("DELETE", f"{MEMBERS}/{stranger}", who="admin")
    assert gone.status == 204
    assert (await world.get(MEMBERS, who="stranger")).status == 404
    assert (await world.call("DELETE", f"{MEMBERS}/{stranger}", who="admin")).status == 404
    kinds = [one.kind for one in await Event.filter(kind__startswith="member.")]
    assert sorted(kinds) == ["member.added", "member.changed", "member.removed"]


async def test_only_owners_touch_owners(world: World) -> None:
    owner, stranger = await id_of("owner"), await id_of("stranger")
    assert await set_role(world, "owner", "viewer", "admin") == 403
    assert (await world.call("DELETE", f"{MEMBERS}/{owner}", who="admin")).status == 403
    assert await set_role(world, "member", "owner", "admin") == 403
    made = await world.post(MEMBERS, {"user": stranger, "role": "owner"}, who="admin")
    assert made.status == 403
    invited = await world.post(f"{OURS}/invitations", {"role": "owner"}, who="admin")
    assert invited.status == 403
    assert await role_of("owner") is Role.OWNER
    # The last one stays, whoever asks.
    for who in ("owner", "operator"):
        assert await set_role(world, "owner", "admin", who) == 409
        assert (await world.call("DELETE", f"{MEMBERS}/{owner}", who=who)).status == 409
    assert await set_role(world, "admin", "owner", "owner") == 200
    assert await set_role(world, "owner", "viewer", "admin") == 200


async def test_two_owners_do_not_leave_a_team_without_one(either: World) -> None:
    assert await set_role(either, "admin", "owner", "owner") == 200
    statuses = await asyncio.gather(
        set_role(either, "admin", "viewer", "owner"), set_role(either, "owner", "viewer", "admin")
    )
    assert sorted(statuses) in ([200, 403], [200, 409])
    assert await Membership.filter(team__name="ours", role=Role.OWNER).count() == 1
    await Membership.filter(user__name__in=["owner", "admin"]).update(role=Role.OWNER)
    statuses = await asyncio.gather(leave(either, "admin"), leave(either, "owner"))
    assert sorted(statuses) == [204, 409]
    assert await Membership.filter(team__name="ours", role=Role.OWNER).count() == 1


async def leave(world: World, who: str, team: str = "ours") -> int:
    return (await world.call("DELETE", f"/api/v1/memberships/{team}", who=who)).status


async def test_members_leave(world: World) -> None:
    for who in ("viewer", "admin"):
        assert await leave(world, who) == 204
        assert await role_of(who) is None
        assert (await world.get(MEMBERS, who=who)).status == 404
    # Who is not in it learns nothing of it, operators neither.
    assert [await leave(world, who) for who in ("viewer", "stranger", "operator")] == [404] * 3
    assert await leave(world, "owner", "nothing") == 404
    assert await leave(world, "owner", "x" * 40) == 404
    # The last owner stays until there is another.
    assert await leave(world, "owner") == 409
    assert await set_role(world, "member", "owner", "owner") == 200
    team = await Team.get(name="ours")
    assert await leave(world, "owner", team.id) == 204
    assert await role_of("member") is Role.OWNER
    entries = await Event.filter(kind="member.left", team_id=team.id)
    assert {one.actor for one in entries} == {
        await id_of(one) for one in ("viewer", "admin", "owner")
    }


async def test_a_team_without_services_is_deleted(world: World) -> None:
    assert (await world.post("/api/v1/teams", {"name": "shop"}, who="viewer")).status == 201
    shop = "/api/v1/teams/shop"
    await world.post(
        f"{shop}/members", {"user": await id_of("admin"), "role": "admin"}, who="viewer"
    )
    await world.post(f"{shop}/invitations", {}, who="viewer")
    channel = {"name": "ops", "kind": "slack", "target": "https://a.example/b"}
    assert (await world.post(f"{shop}/notifications", channel, who="viewer")).status == 201
    new = {"name": "till", "source": "https://git.example/app.git", "team": "shop"}
    assert (await world.post("/api/v1/services", new, who="viewer")).status == 201
    refused = await world.call("DELETE", shop, who="viewer")
    assert (refused.status, refused.json["code"]) == (409, "conflict")
    assert "till" in refused.json["detail"]
    await Service.filter(name="till").delete()
    # For its owners; who is none of it does not see it.
    statuses = [(await world.call("DELETE", shop, who=who)).status for who in ("admin", "stranger")]
    assert statuses == [403, 404]
    assert (await world.call("DELETE", shop, who="viewer")).status == 204
    assert (await world.call("DELETE", shop, who="viewer")).status == 404
    assert not await Team.exists(name="shop")
    assert not await Membership.filter(team__name="shop").exists()
    assert not await Invitation.exists()
    while await events.deliver(world.platform.providers):
        pass
    assert not await Channel.exists()
    entry = await Event.get(kind="team.deleted")
    assert (entry.actor, entry.data["name"]) == (await id_of("viewer"), "shop")


async def test_the_team_of_the_installation_stays(world: World) -> None:
    refused = await world.call("DELETE", "/api/v1/teams/default", who="operator")
    assert (refused.status, refused.json["code"]) == (409, "conflict")
    assert await Team.exists(name="default")


async def test_a_service_that_is_made_meanwhile_keeps_its_team(either: World) -> None:
    world = either
    await world.post("/api/v1/teams", {"name": "shop"}, who="viewer")
    for number in range(5):
        new = {"name": f"s{number}", "source": "https://git.example/a.git", "team": "shop"}
        made, gone = await asyncio.gather(
            world.post("/api/v1/services", new, who="viewer"),
            world.call("DELETE", "/api/v1/teams/shop", who="viewer"),
        )
        kept = await Service.filter(name=f"s{number}").exists()
        assert kept == await Team.exists(name="shop"), (made.json, gone.json)
        assert kept == (gone.status == 409)
        if not kept:
            await world.post("/api/v1/teams", {"name": "shop"}, who="viewer")
        await Service.filter(name=f"s{number}").delete()


async def test_a_team_of_ones_own(world: World) -> None:
    made = await world.post("/api/v1/teams", {"name": "shop"}, who="viewer")
    assert (made.status, made.json["role"], made.json["members"]) == (201, "owner", 1)
    assert (await world.post("/api/v1/teams", {"name": "shop"}, who="owner")).status == 409
    for name in ("", "Shop", "-a", "a b", "x" * 64):
        assert (await world.post("/api/v1/teams", {"name": name})).status == 422
    listed = (await world.get("/api/v1/teams", who="viewer")).json["items"]
    assert [(one["name"], one["role"]) for one in listed] == [("ours", "viewer"), ("shop", "owner")]
    # A viewer elsewhere makes services where more is allowed, and nowhere else.
    new: dict[str, Any] = {"name": "one", "source": "https://git.example/app.git"}
    assert (await world.post("/api/v1/services", new, who="viewer")).status == 201
    shop = await Team.get(name="shop")
    assert (await Service.get(name="one")).team_id == shop.id
    new = {**new, "name": "two", "team": "ours"}
    assert (await world.post("/api/v1/services", new, who="viewer")).status == 403
    assert (await world.post("/api/v1/services", new, who="stranger")).status == 404
    assert (await world.post("/api/v1/services", {**new, "team": "none"})).status == 404
    assert (await world.post("/api/v1/services", new, who="member")).status == 201


async def test_a_link_lets_one_person_in(world: World) -> None:
    await make_service()
    made = await world.post(f"{OURS}/invitations", {"role": "member"}, who="admin")
    assert made.status == 201
    link = made.json["url"]
    shown = (await world.get(f"{OURS}/invitations", who="admin")).json["items"]
    assert [(one["role"], one["url"]) for one in shown] == [("member", None)]
    assert (await world.get(f"{OURS}/invitations", who="member")).status == 403

    async with Browser(world) as ben:
        page = await ben.go(link)
        assert page.status == 200
        assert b"ours" in page.raw
        assert b"member" in page.raw
        # An account is made by the invitation alone: the form says nothing of one.
        headers = {"Origin": world.url}
        url = f"{world.url}/auth/form/complete"
        answer = await ben.ask(
            "POST", url, data={"subject": "ben", "stranger": "1"}, headers=headers
        )
        assert answer.status == 303
        assert (await ben.me())["team"] == f"team-{(await ben.me())['id']}"
        assert not (await ben.me())["is_operator"]
        # With the account comes what the link is for; it makes no second one.
        assert await role_of("ben") is Role.MEMBER
        services = await ben.ask("GET", f"{world.url}/api/v1/services/web")
        assert services.status == 200
        assert (await ben.post("/join")).status == 404
        assert (await ben.go(link)).status == 410

    async with Browser(world) as eve:
        assert (await eve.go(link)).status == 410
        answer = await eve.ask(
            "POST", url, data={"subject": "eve", "stranger": "1"}, headers=headers
        )
        assert answer.status == 403


async def test_who_has_an_account_is_asked_first(world: World) -> None:
    link = (await world.post(f"{OURS}/invitations", {}, who="admin")).json["url"]
    async with Browser(world) as ben:
        form = {"subject": "ben", "stranger": "1", "invited": "1"}
        headers = {"Origin": world.url}
        url = f"{world.url}/auth/form/complete"
        await ben.ask("POST", url, data=form, headers=headers)
        assert b"Join as ben" in (await ben.go(link)).raw
        assert await role_of("ben") is None
        forged = await ben.ask("POST", f"{world.url}/join", headers=headers)
        assert forged.status == 403
        # Signing in again is no answer to the question.
        await ben.ask("POST", url, data=form, headers=headers)
        assert await role_of("ben") is None
        joined = await ben.post("/join")
        assert (joined.status, joined.headers["Location"]) == (303, "/")
        assert await role_of("ben") is Role.MEMBER
        assert (await ben.post("/join")).status == 404


async def test_of_two_with_one_link_one_comes_in(world: World) -> None:
    link = (await world.post(f"{OURS}/invitations", {}, who="admin")).json["url"]
    async with Browser(world) as one, Browser(world) as two:
        await one.go(link)
        await two.go(link)
        url, headers = f"{world.url}/auth/form/complete", {"Origin": world.url}
        forms = [{"subject": name, "stranger": "1"} for name in ("one", "two")]
        answers = await asyncio.gather(
            one.ask("POST", url, data=forms[0], headers=headers),
            two.ask("POST", url, data=forms[1], headers=headers),
        )
    assert sorted(answer.status for answer in answers) in ([303, 403], [303, 404])
    assert await User.filter(name__in=["one", "two"]).count() == 1


async def test_a_link_that_was_withdrawn_is_void(world: World) -> None:
    made = (await world.post(f"{OURS}/invitations", {}, who="admin")).json
    path = f"{OURS}/invitations/{made['id']}"
    foreign = await world.call(
        "DELETE", f"/api/v1/teams/theirs/invitations/{made['id']}", who="stranger"
    )
    assert foreign.status == 404
    assert (await world.call("DELETE", path, who="admin")).status == 204
    async with Browser(world) as eve:
        assert (await eve.go(made["url"])).status == 410


async def test_an_invitation_opens_a_password_account(world: World) -> None:
    link = (await world.post(f"{OURS}/invitations", {}, who="admin")).json["url"]
    async with Browser(world) as ben:
        assert b"create an account" not in (await ben.go(f"{world.url}/auth/local")).raw
        assert b"Set a new password" not in (await ben.go(f"{world.url}/auth/local?new=1")).raw
        await ben.go(link)
        assert b"create an account" in (await ben.go(f"{world.url}/auth/local?next=/join")).raw
        page = await ben.go(f"{world.url}/auth/local?new=1&next=/join")
        token = page.raw.decode().partition('name="link" value="')[2].partition('"')[0]
        form = {"link": token, "name": "ben", "password": "a long enough one", "next": "/join"}
        answer = await ben.ask(
            "POST",
            f"{world.url}/auth/local/complete",
            data={**form, "again": form["password"]},
            headers={"Origin": world.url},
        )
        assert (answer.status, answer.headers["Location"]) == (303, "/")
    assert await role_of("ben") is Role.MEMBER
