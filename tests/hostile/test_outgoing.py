"""Addresses that people have the platform ask: none leads to the inside, however it is written."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.abc import AbstractResolver, ResolveResult
from hypothesis import given
from hypothesis import strategies as st

from helvetia.plugins.networks import (
    NotPublic,
    _public_socket,
    guarded_connector,
    is_public,
)

INSIDE = [
    "127.0.0.1", "127.9.9.9", "0.0.0.0", "10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1",
    "100.64.0.1", "169.254.169.254", "192.0.0.8", "198.18.0.1", "224.0.0.1", "240.0.0.1",
    "255.255.255.255", "::", "::1", "::ffff:127.0.0.1", "::ffff:a9fe:a9fe", "::ffff:10.0.0.1",
    "::127.0.0.1", "fe80::1", "fc00::1", "fd00:ec2::254", "fec0::1", "ff02::1", "64:ff9b::7f00:1",
    "64:ff9b:1::a00:1", "2002:7f00:1::", "2001:0:1::1", "2001:db8::1", "100::1",
    "100.100.100.200",
]  # fmt: skip
OUTSIDE = [
    "1.1.1.1", "8.8.8.8", "172.15.0.1", "172.32.0.1", "192.167.1.1", "100.63.0.1", "100.128.0.1",
    "169.253.1.1", "126.0.0.1", "128.0.0.1", "2606:4700:4700::1111", "2a00:1450:4001::1",
    "::ffff:1.1.1.1",
]  # fmt: skip
# The forms that a system's own look-up takes for the address behind it.
SPELLED = [
    "127.0.0.1", "127.1", "2130706433", "0x7f000001", "0177.0.0.1", "017700000001", "0x7f.1", "0",
    "localhost", "LOCALHOST.", "[::1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]",
    "[0:0:0:0:0:ffff:7f00:0001]", "user:pw@127.0.0.1", "example.org@127.0.0.1",
    "\uff11\uff12\uff17.\uff10.\uff10.\uff11", "127\u30020\u30020\u30021",
]  # fmt: skip


@pytest.mark.parametrize("address", INSIDE)
def test_what_is_inside(address: str) -> None:
    assert not is_public(address)
    with pytest.raises(NotPublic):
        _public_socket(_target(address))


@pytest.mark.parametrize("address", OUTSIDE)
def test_what_is_outside(address: str) -> None:
    assert is_public(address)
    _public_socket(_target(address)).close()


def _target(address: str) -> Any:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    return (family, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (address, 80))


@given(st.ip_addresses(v=4))
def test_an_address_means_the_same_in_all_its_spellings(address: Any) -> None:
    wrapped = f"::ffff:{address}"
    assert is_public(wrapped) == is_public(str(address))
    if not address.is_global:
        assert not is_public(str(address))


@dataclass
class Inside:
    """A server of the private network that nobody may be led to."""

    port: int
    asked: list[str] = field(default_factory=list)


@pytest.fixture
async def inside() -> AsyncIterator[Inside]:
    async def answer(request: web.Request) -> web.StreamResponse:
        there.asked.append(request.path)
        if request.path == "/away":
            raise web.HTTPFound(request.query["to"])
        return web.Response(text="a secret of the inside")

    app = web.Application()
    app.router.add_get("/{any:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    sockets = [socket.socket(socket.AF_INET), socket.socket(socket.AF_INET6)]
    sockets[0].bind(("127.0.0.1", 0))
    there = Inside(sockets[0].getsockname()[1])
    sockets[1].bind(("::1", there.port))
    for one in sockets:
        await web.SockSite(runner, one).start()
    yield there
    await runner.cleanup()


class Rebinding(AbstractResolver):
    """A name server that answers with the next address each time it is asked."""

    def __init__(self, *answers: str) -> None:
        self.answers = list(answers)

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        address = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return [
            ResolveResult(
                hostname=host, host=address, port=port, family=socket.AF_INET, proto=0, flags=0
            )
        ]

    async def close(self) -> None:
        pass


@pytest.mark.parametrize("host", SPELLED)
async def test_no_spelling_leads_inside(inside: Inside, host: str) -> None:
    async with aiohttp.ClientSession(connector=guarded_connector()) as session:
        with pytest.raises((aiohttp.ClientConnectorError, aiohttp.InvalidURL)) as caught:
            await session.get(f"http://{host}:{inside.port}/")
    assert inside.asked == []
    if isinstance(caught.value, aiohttp.ClientConnectorDNSError | aiohttp.InvalidURL):
        return  # no name server and no system took it for an address
    assert isinstance(caught.value, aiohttp.ClientConnectorError)
    assert isinstance(caught.value.os_error, NotPublic)


async def test_a_second_answer_of_the_name_server_leads_nowhere(inside: Inside) -> None:
    connector = guarded_connector()
    connector._resolver = Rebinding("127.0.0.1")
    async with aiohttp.ClientSession(connector=connector) as session:
        with pytest.raises(aiohttp.ClientConnectorError):
            await session.get(f"http://innocent.example:{inside.port}/")
    assert inside.asked == []


async def test_a_redirect_leads_no_further_than_a_url(
    inside: Inside, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From a host that counts as public, which the test has to say of its own server."""
    monkeypatch.setattr(
        "helvetia.plugins.networks.is_public", lambda text: text == "127.0.0.1" or is_public(text)
    )
    for target in ("http://[::1]:{}/in", "http://127.0.0.2:{}/in", "//[::1]:{}/in"):
        url = f"http://127.0.0.1:{inside.port}/away"
        query = {"to": target.format(inside.port)}
        async with aiohttp.ClientSession(connector=guarded_connector()) as session:
            with pytest.raises(aiohttp.ClientConnectorError) as caught:
                await session.get(url, params=query)
        assert isinstance(caught.value.os_error, NotPublic)
    assert inside.asked == ["/away"] * 3


async def test_an_operator_may_allow_it(inside: Inside) -> None:
    connector = guarded_connector(allow_private=True)
    async with (
        aiohttp.ClientSession(connector=connector) as session,
        session.get(f"http://127.0.0.1:{inside.port}/") as answer,
    ):
        assert answer.status == 200
    assert inside.asked == ["/"]
