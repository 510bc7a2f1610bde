"""Hostnames are parsed, and nobody learns who has one."""

from __future__ import annotations

import pytest
from http_support import World, make_service

from helvetia.kernel.domains import default_hostname, hostnames
from helvetia.kernel.errors import InvalidInput
from helvetia.kernel.models import Event, Service, Team
from helvetia.plugins.api.domains import normalise

PATH = "/api/v1/services/web/domains"


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("www.example.com", "www.example.com"),
        (" WWW.Example.COM. ", "www.example.com"),
        ("bücher.example", "xn--bcher-kva.example"),
        ("xn--bcher-kva.example", "xn--bcher-kva.example"),
        ("BÜCHER.example", "xn--bcher-kva.example"),
        ("faß.example", "xn--fa-hia.example"),
        ("例え。テスト", "xn--r8jz45g.xn--zckzah"),
        ("1.example.com", "1.example.com"),
        ("a-b.example.co", "a-b.example.co"),
        ("notapps.example.org", "notapps.example.org"),
        (" *.Example.COM. ", "*.example.com"),
        ("*.bücher.example", "*.xn--bcher-kva.example"),
        ("*.example.org", "*.example.org"),
        (f"{'a' * 63}.example.com", f"{'a' * 63}.example.com"),
    ],
)
def test_a_hostname_in_normal_form(typed: str, expected: str) -> None:
    assert normalise(typed, domain="apps.example.org") == expected
    assert normalise(expected, domain="apps.example.org") == expected


@pytest.mark.parametrize(
    "typed",
    [
        "", ".", "localhost", "com", "a..b", ".a.b", "a.b..", "-a.example.com", "a-.example.com",
        "a_b.example.com", "www.example.com:80", "http://www.example.com",
        "*", "*.", "*.com", "*.*.example.com", "a.*.example.com", "*a.example.com",
        "a*.example.com", "**.example.com", "\uff0a.example.com", "*.apps.example.org",
        "*.127.0.0.1", "*..a.com", "*.a.apps.example.org", "*. a.example.com",
        f"*.{'.'.join(['a' * 60] * 4)}.examples",
        "www.example.com/x", "me@example.com", "a b.example.com", "a\tb.example.com",
        "www.example.com\n.evil.com", "127.0.0.1", "127.1", "0x7f.1", "1.0x7f",
        "\uff11\uff12\uff17.\uff10.\uff10.\uff11",
        "[::1]", "::1", "2130706433", "www.example.1", "apps.example.org", "web.apps.example.org",
        "a.b.apps.example.org", "APPS.example.org.", "`", "a`b.com", "a||b.com", "a{}.com",
        "Host(`x`).com", "a,b.com", "a;b.com", "a%00.com", "\x00.com", "xn--.com", "xn--a.com",
        f"{'a' * 64}.example.com", ".".join(["a" * 60] * 5), "\u202ea.com", "a\u200bb.\u200b",
        "\ud800.com", "\uff41\uff50\uff50\uff53.example.org",
    ],
)  # fmt: skip
def test_what_is_no_hostname_for_a_service(typed: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        normalise(typed, domain="apps.example.org")
    assert caught.value.field == "hostname"


async def test_adding_and_removing(world: World) -> None:
    service = await make_service()
    added = await world.post(PATH, {"hostname": "B.Example.com"}, who="operator")
    assert (added.status, added.json["hostname"]) == (201, "b.example.com")
    await world.post(PATH, {"hostname": "a.example.com"}, who="operator")
    listed = (await world.get(PATH)).json["items"]
    assert [(one["hostname"], one["is_default"]) for one in listed] == [
        ("web.localhost", True), ("a.example.com", False), ("b.example.com", False),
    ]  # fmt: skip
    assert await hostnames(service, "localhost") == tuple(one["hostname"] for one in listed)
    shown = (await world.get("/api/v1/services/web")).json
    assert shown["domains"] == [one["hostname"] for one in listed]

    first = await world.get(f"{PATH}?limit=2")
    rest = await world.get(PATH, params={"limit": "2", "cursor": first.json["next"]})
    assert [one["hostname"] for one in rest.json["items"]] == ["b.example.com"]

    assert (await world.call("DELETE", f"{PATH}/B.example.com")).status == 204
    assert (await world.call("DELETE", f"{PATH}/b.example.com")).status == 404
    assert (await world.call("DELETE", f"{PATH}/web.localhost")).status == 409
    assert (await world.call("DELETE", f"{PATH}/a%00b.example.com")).status == 404
    kinds = (
        await Event.filter(service_id=service.id)
        .order_by("created_at")
        .values_list("kind", flat=True)
    )
    assert kinds == ["domain.added", "domain.added", "domain.removed"]


async def test_a_taken_hostname_is_a_conflict_whoever_has_it(world: World) -> None:
    theirs = await Team.get(name="theirs")
    await make_service("theirs", team_id=theirs.id)
    await make_service()
    body = {"hostname": "www.example.com"}
    path = "/api/v1/services/theirs/domains"
    assert (await world.post(path, body, who="operator")).status == 201
    taken = await world.post(PATH, body)
    own = await world.post(path, body, who="stranger")
    assert (taken.status, own.status) == (409, 409)
    assert taken.json["detail"] == own.json["detail"]
    assert (await world.call("DELETE", f"{PATH}/www.example.com")).status == 404


async def test_a_wrong_hostname_is_named(world: World) -> None:
    await make_service()
    for hostname in ("api.localhost", "127.0.0.1", "*.com", "x" * 300, "\u0000.com"):
        answer = await world.post(PATH, {"hostname": hostname})
        assert (answer.status, answer.fields()) == (422, {"hostname"}), hostname


def test_every_service_has_a_hostname() -> None:
    assert default_hostname(Service(name="web"), "apps.example.org") == "web.apps.example.org"
