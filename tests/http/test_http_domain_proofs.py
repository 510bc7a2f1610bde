"""Nobody gets a foreign hostname: it is proved by a record or a file before it is routed."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, cast

import dns.message
import dns.rcode
import dns.rrset
import pytest
from aiohttp import web
from http_support import Answer, World, make_service, open_platform, populate, serve

from helvetia.kernel.domains import hostnames
from helvetia.kernel.models import Domain, Event, Service, Team
from helvetia.plugins.api import proofs
from helvetia.plugins.api.settings import DomainsSettings

NAME = "www.example.com"
RECORD = f"_helvetia.{NAME}"
OURS, THEIRS = "/api/v1/services/web/domains", "/api/v1/services/theirs/domains"


class NameServer(asyncio.DatagramProtocol):
    """Answers with what is in `records`; keeps silent if there is None."""

    def __init__(self) -> None:
        self.records: dict[tuple[str, str], list[str] | None] = {}

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, address: tuple[str, int]) -> None:
        query = dns.message.from_wire(data)
        asked = query.question[0]
        kind = "TXT" if asked.rdtype == 16 else "A" if asked.rdtype == 1 else "AAAA"
        name = asked.name.to_text(omit_final_dot=True)
        answer = dns.message.make_response(query)
        found = self.records.get((name, kind), [])
        if found is None:
            return
        if found:
            answer.answer.append(dns.rrset.from_text(asked.name, 60, "IN", kind, *found))
        elif not any(known == name for known, _ in self.records):
            answer.set_rcode(dns.rcode.NXDOMAIN)
        self.transport.sendto(answer.to_wire(), address)


@pytest.fixture
async def names() -> AsyncIterator[NameServer]:
    loop = asyncio.get_running_loop()
    transport, server = await loop.create_datagram_endpoint(NameServer, local_addr=("127.0.0.1", 0))
    yield server
    transport.close()


@pytest.fixture
async def world(
    names: NameServer, database_url: str, migrated: Path, tmp_path: Path
) -> AsyncIterator[World]:
    host, port = names.transport.get_extra_info("sockname")
    environment = {"HELVETIA_DOMAINS_NAMESERVER": f"{host}:{port}"}
    home, is_sqlite = tmp_path / "home", database_url.startswith("sqlite:")
    if is_sqlite:
        shutil.copytree(migrated, home)
    else:
        environment["HELVETIA_DATABASE_URL"] = database_url
    async with open_platform(home, **environment) as platform, serve(platform) as one:
        if not is_sqlite:
            await populate()
        theirs = await Team.get(name="theirs")
        await make_service("theirs", team_id=theirs.id)
        await make_service()
        yield one


async def _claim(world: World, path: str = OURS, who: str = "owner") -> Answer:
    answer = await world.post(path, {"hostname": NAME}, who=who)
    assert (answer.status, answer.json["state"]) == (201, "pending"), answer.raw
    return answer


def _verify(world: World, path: str = OURS, who: str = "owner") -> asyncio.Future[Answer]:
    return asyncio.ensure_future(world.post(f"{path}/{NAME}/verify", who=who))


async def _routed(name: str = "web") -> tuple[str, ...]:
    return (await hostnames(await Service.get(name=name), "localhost"))[1:]


async def test_a_record_proves_a_hostname(world: World, names: NameServer) -> None:
    proof = (await _claim(world)).json["proof"]
    assert proof["record"] == RECORD
    assert await _routed() == ()
    assert (await world.get("/api/v1/services/web")).json["domains"] == ["web.localhost"]
    missing = (await _verify(world)).json
    assert missing["state"] == "pending"
    assert missing["reason"].startswith(f"the TXT record {RECORD} is not there; the file http://")
    names.records[RECORD, "TXT"] = ['"v=spf1"', '"helvetia-verification=other"']
    assert f"{RECORD} says something else" in (await _verify(world)).json["reason"]
    assert await _routed() == ()

    names.records[RECORD, "TXT"] = ['"v=spf1"', f'"{proof["value"]}"']
    proved = (await _verify(world)).json
    assert (proved["state"], proved["reason"], proved["proof"]) == ("verified", "", None)
    assert await _routed() == (NAME,)
    assert (await _verify(world)).json == proved
    kinds = [event.kind for event in await Event.filter(kind__startswith="domain.")]
    assert sorted(kinds) == ["domain.added", "domain.verified"]


async def test_a_pending_name_blocks_nobody_and_the_first_proof_wins(
    world: World, names: NameServer
) -> None:
    await _claim(world, THEIRS, "stranger")
    ours = (await _claim(world)).json["proof"]
    # A claim is proved by its own token alone.
    names.records[RECORD, "TXT"] = [f'"{ours["value"]}"']
    assert (await _verify(world, THEIRS, "stranger")).json["state"] == "pending"
    assert (await _verify(world)).json["state"] == "verified"
    theirs = await Domain.get(service__name="theirs")
    names.records[RECORD, "TXT"] = [f'"helvetia-verification={theirs.token}"']
    late = await _verify(world, THEIRS, "stranger")
    assert (late.status, late.json["detail"]) == (409, f"the hostname {NAME} is taken")
    assert (await world.call("DELETE", f"{THEIRS}/{NAME}", who="stranger")).status == 204
    again = await world.post(THEIRS, {"hostname": NAME}, who="stranger")
    assert (again.status, again.json["detail"]) == (409, late.json["detail"])
    assert (await _routed(), await _routed("theirs")) == ((NAME,), ())
    assert (await world.post(f"{OURS}/other.example.com/verify")).status == 404


async def test_of_two_that_prove_it_at_once_one_has_it(world: World, names: NameServer) -> None:
    tokens = [
        (await _claim(world)).json["proof"]["value"],
        (await _claim(world, THEIRS, "stranger")).json["proof"]["value"],
    ]
    names.records[RECORD, "TXT"] = [f'"{token}"' for token in tokens]
    for _ in range(5):
        await Domain.all().update(verified_at=None)
        answers = await asyncio.gather(_verify(world), _verify(world, THEIRS, "stranger"))
        assert sorted(answer.status for answer in answers) == [200, 409]
        assert len(await _routed() + await _routed("theirs")) == 1


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_operators_need_no_proof(world: World) -> None:
    await _claim(world)
    added = await world.post(THEIRS, {"hostname": "own.test"}, who="operator")
    assert (added.status, added.json["state"]) == (201, "verified")
    assert (await _verify(world, who="operator")).json["state"] == "verified"
    assert (await _routed(), await _routed("theirs")) == ((NAME,), ("own.test",))


async def test_a_record_of_its_parent_proves_a_wildcard(world: World, names: NameServer) -> None:
    added = await world.post(OURS, {"hostname": "*.Example.com"})
    proof = added.json["proof"]
    assert (added.status, added.json["hostname"]) == (201, "*.example.com")
    assert (proof["record"], proof["file"]) == ("_helvetia.example.com", "")
    path = f"{OURS}/*.example.com"
    missing = (await world.post(f"{path}/verify")).json
    assert missing["reason"] == "the TXT record _helvetia.example.com is not there"
    # A file, on one host, says nothing of the others.
    names.records["example.com", "A"] = ["127.0.0.1"]
    names.records["_helvetia.*.example.com", "TXT"] = [f'"{proof["value"]}"']
    assert (await world.post(f"{path}/verify")).json["state"] == "pending"
    names.records["_helvetia.example.com", "TXT"] = [f'"{proof["value"]}"']
    assert (await world.post(f"{path}/verify")).json["state"] == "verified"
    assert await _routed() == ("*.example.com",)
    assert (await world.call("DELETE", path)).status == 204
    assert await _routed() == ()


async def test_a_wildcard_and_another_teams_name_below_it(world: World) -> None:
    async def add(path: str, hostname: str) -> int:
        return (await world.post(path, {"hostname": hostname}, who="operator")).status

    assert await add(OURS, "*.example.com") == 201
    # What it stands for is ours; what it does not is free.
    assert await add(THEIRS, "a.example.com") == 409
    assert await add(THEIRS, "*.example.com") == 409
    for free in ("example.com", "a.b.example.com", "*.b.example.com", "aexample.com"):
        assert await add(THEIRS, free) == 201
    assert await add(OURS, "a.example.com") == 201
    # And the other way round.
    assert await add(THEIRS, "c.example.org") == 201
    assert await add(OURS, "*.example.org") == 409
    assert await add(OURS, "*.c.example.org") == 201
    assert await add(THEIRS, "*.example.org") == 201
    assert (await world.call("DELETE", f"{OURS}/*.example.com", who="operator")).status == 204
    assert await add(THEIRS, "*.example.com") == 409
    assert (await world.call("DELETE", f"{OURS}/a.example.com", who="operator")).status == 204
    assert await add(THEIRS, "*.example.com") == 201


async def test_of_a_wildcard_and_a_name_below_it_at_once_one_is_had(
    world: World, names: NameServer
) -> None:
    """Each is claimed before, as it is when both look for their proofs."""
    claims = {OURS: "*.example.com", THEIRS: NAME}
    for path, hostname in claims.items():
        who = "owner" if path == OURS else "stranger"
        assert (await world.post(path, {"hostname": hostname}, who=who)).status == 201
    for turn in range(6):
        await Domain.all().update(verified_at=None)
        order = list(claims.items())[:: 1 if turn % 2 else -1]
        answers = await asyncio.gather(
            *(world.post(f"{path}/{hostname}/verify", who="operator") for path, hostname in order)
        )
        assert sorted(answer.status for answer in answers) == [200, 409]
        assert len(await _routed() + await _routed("theirs")) == 1


CONTENT = "helvetia-verification=abc"


async def _serve(routes: dict[str, web.Response]) -> web.AppRunner:
    async def answer(request: web.Request) -> web.StreamResponse:
        return routes.get(request.host.split(":")[0] + request.path, web.Response(status=404))

    app = web.Application()
    app.router.add_get("/{path:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    return runner


@pytest.mark.parametrize(
    ("response", "reason"),
    [
        ({"text": f"{CONTENT}\n"}, ""),
        ({"text": f"{CONTENT}d"}, "says something else"),
        ({"text": "abc"}, "says something else"),  # an echo of the path
        ({"text": CONTENT + " " * 5000}, "says something else"),
        ({"status": 302, "headers": {"Location": "http://127.0.0.1/"}}, "answers 302"),
        ({"status": 404}, "answers 404"),
    ],
)
async def test_a_file_proves_a_hostname(
    names: NameServer, monkeypatch: pytest.MonkeyPatch, response: dict[str, Any], reason: str
) -> None:
    path = f"{NAME}/.well-known/helvetia/abc"
    runner = await _serve({path: web.Response(**response)})
    try:
        monkeypatch.setattr(proofs, "HTTP_PORT", runner.addresses[0][1])
        names.records[NAME, "A"] = ["127.0.0.1"]
        host, port = names.transport.get_extra_info("sockname")
        settings = DomainsSettings(nameserver=f"{host}:{port}", allow_private_hosts=True)
        told = await proofs.why_not(NAME, "abc", settings)
        assert told.endswith(reason)
        assert bool(told) == bool(reason)
        settings.allow_private_hosts = False
        refused = await proofs.why_not(NAME, "abc", settings)
        assert refused.endswith("the host is not on the public network")
    finally:
        await runner.cleanup()


async def test_a_silent_name_server_is_told(
    names: NameServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(proofs, "_SECONDS", 0.2)
    names.records[RECORD, "TXT"] = None
    host, port = names.transport.get_extra_info("sockname")
    told = await proofs.why_not(NAME, "abc", DomainsSettings(nameserver=f"{host}:{port}"))
    assert told.startswith(f"the TXT record {RECORD} could not be read: no name server answered")
