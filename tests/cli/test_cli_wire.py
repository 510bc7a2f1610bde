"""Single requests: told apart is what keeps them from being answered; they can be broken off."""

from __future__ import annotations

import asyncio
import socket
import ssl
import subprocess
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from helvetia.cli.address import Address
from helvetia.cli.api import Api
from helvetia.cli.client import Client
from helvetia.cli.wire import Broken, NotConnected, send
from helvetia.kernel.errors import Unreachable

Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


async def serve(talk: Talk, context: ssl.SSLContext | None = None) -> tuple[asyncio.Server, int]:
    server = await asyncio.start_server(talk, "127.0.0.1", 0, ssl=context)
    return server, server.sockets[0].getsockname()[1]


async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()
    writer.close()


async def test_a_refused_connection_has_sent_nothing() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{probe.getsockname()[1]}/"
        with pytest.raises(NotConnected):
            await send("GET", url, headers={}, seconds=5)


async def test_silence_has_a_limit() -> None:
    server, port = await serve(silent)
    async with server:
        with pytest.raises(TimeoutError):
            await send("GET", f"http://127.0.0.1:{port}/", headers={}, seconds=0.2)


async def test_who_breaks_off_does_not_wait_for_the_answer() -> None:
    server, port = await serve(silent)
    async with server:
        request = asyncio.create_task(
            send("GET", f"http://127.0.0.1:{port}/", headers={}, seconds=60)
        )
        await asyncio.wait([request], timeout=0.2)
        began = time.monotonic()
        request.cancel()
        with pytest.raises(asyncio.CancelledError):
            await request
    assert time.monotonic() - began < 5


@pytest.mark.parametrize(
    "said",
    [b"", b"nonsense\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf"],
    ids=["nothing", "nonsense", "half"],
)
async def test_an_answer_that_is_cut_off_is_no_answer(said: bytes) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(said)
        await writer.drain()
        writer.close()

    server, port = await serve(talk)
    async with server:
        with pytest.raises(Broken):
            await send("GET", f"http://127.0.0.1:{port}/", headers={}, seconds=5)


@pytest.fixture
def strange_certificate(tmp_path: Path) -> ssl.SSLContext:
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1",
         "-subj", "/CN=localhost", "-keyout", key, "-out", certificate],
        check=True, capture_output=True,
    )  # fmt: skip
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return context


async def test_a_stranger_with_a_certificate_of_his_own_is_not_trusted(
    strange_certificate: ssl.SSLContext,
) -> None:
    heard = bytearray()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.extend(await reader.read())
        writer.close()

    server, port = await serve(talk, strange_certificate)
    async with server, Client(Address(url=f"https://localhost:{port}", token="hv_x")) as client:
        with pytest.raises(Unreachable, match="is not trusted"):
            await Api(client).about()
    assert not heard
