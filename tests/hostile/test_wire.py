"""Hostile connections: slow, huge, packed, smuggled; they end, and others are served meanwhile."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import re
import resource
import time

import pytest
from http_support import World

HEAD = b"Host: x\r\nAuthorization: Bearer hv_owner\r\n"
CREATE = b"POST /api/v1/services HTTP/1.1\r\n" + HEAD + b"Content-Type: application/json\r\n"
UPLOAD = b"POST /api/v1/uploads HTTP/1.1\r\n" + HEAD + b"Content-Type: application/gzip\r\n"
STATUS_LINE = re.compile(rb"^HTTP/1\.[01] \d", re.MULTILINE)
IDLE, BODY = 0.6, 0.6


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Less patience; what it is in earnest is tested at the end."""
    monkeypatch.setattr("helvetia.kernel.http.app.IDLE_SECONDS", IDLE)
    monkeypatch.setattr("helvetia.kernel.http.app.LINGER_SECONDS", IDLE)
    monkeypatch.setattr("helvetia.kernel.http.bodies.BODY_SECONDS", BODY)
    monkeypatch.setattr("helvetia.plugins.sources.upload.endpoint._SILENCE_SECONDS", BODY)


@pytest.fixture
def world(impatient: None, world: World) -> World:
    return world


async def talk(world: World, *parts: bytes, pause: float = 0.0) -> bytes:
    """Send parts with pauses, and return all that is answered until the connection ends."""
    host, port = world.runner.addresses[0][:2]
    reader, writer = await asyncio.open_connection(host, port)

    async def send() -> None:
        with contextlib.suppress(ConnectionError):
            for part in parts:
                writer.write(part)
                await writer.drain()
                await asyncio.sleep(pause)

    sending = asyncio.create_task(send())
    answer = b""
    try:
        async with asyncio.timeout(15):
            with contextlib.suppress(ConnectionError):
                while data := await reader.read(65536):
                    answer += data
    finally:
        sending.cancel()
        writer.transport.abort()
    return answer


def drip(data: bytes) -> list[bytes]:
    return [bytes([byte]) for byte in data]


@pytest.mark.parametrize(
    "parts",
    [
        [b""],
        [b"GET"],
        [b"GET / HTTP/1.1\r\nHost: x\r\n"],
        drip(b"GET / HTTP/1.1\r\nHost: x\r\nX-Long: " + b"a" * 4000),
        [
            b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n",
            *drip(b"GET / HTTP/1.1\r\nX: " + b"a" * 4000),
        ],
    ],
    ids=["nothing", "three-letters", "half-headers", "drip", "drip-after-a-request"],
)
async def test_headers_that_do_not_come(world: World, parts: list[bytes]) -> None:
    began = time.monotonic()
    answer = await talk(world, *parts, pause=0.01)
    assert time.monotonic() - began < 10 * IDLE
    assert answer.count(b"HTTP/1.1") == (1 if len(parts) > 1 and b"healthz" in parts[0] else 0)
    assert (await world.get("/healthz")).status == 200


async def test_many_such_connections_take_nothing_from_others(world: World) -> None:
    host, port = world.runner.addresses[0][:2]
    opened = [await asyncio.open_connection(host, port) for _ in range(300)]
    for _, writer in opened:
        writer.write(b"GET / HTTP/1.1\r\nX: ")
    began = time.monotonic()
    assert (await world.get("/api/v1/services")).status == 200
    assert time.monotonic() - began < 2
    async with asyncio.timeout(15):
        for reader, writer in opened:
            # Cut off in the middle of what it sent.
            with contextlib.suppress(ConnectionResetError):
                assert await reader.read() == b""
            writer.close()


@pytest.mark.parametrize("head", [CREATE, UPLOAD], ids=["json", "upload"])
async def test_bodies_that_come_bit_by_bit(world: World, head: bytes) -> None:
    """A byte now and then keeps no connection for longer than the whole body may take."""
    began = time.monotonic()
    body = b"\x1f\x8b" + b"x" * 998 if head is UPLOAD else b"{" + b" " * 998 + b"}"
    answer = await talk(
        world, head + b"Connection: close\r\nContent-Length: 1000\r\n\r\n", *drip(body), pause=0.02
    )
    assert answer.split(b" ", 2)[1] == b"408"
    assert time.monotonic() - began < 14
    uploads = world.platform.home / "uploads"
    assert not uploads.exists() or list(uploads.iterdir()) == []


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-Evil: a\rb\r\n\r\n", b"400"),
        (b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-Evil: a\0b\r\n\r\n", b"400"),
        (b"GET /healthz HTTP/1.1\r\nHost: x\r\nX Evil: a\r\n\r\n", b"400"),
        (b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-Evil : a\r\n\r\n", b"400"),
        (b"GET /healthz HTTP/1.1\r\nHost: x\r\n folded: a\r\n\r\n", b"400"),
        (b"GET /healthz HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 9000 + b"\r\n\r\n", b"400"),
        (b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", b"400"),
        (
            b"GET /healthz HTTP/1.1\r\nHost: x\r\n"
            + b"".join(b"X-%d: a\r\n" % n for n in range(200))
            + b"\r\n",
            b"400",
        ),
        (b"GE\x01T /healthz HTTP/1.1\r\nHost: x\r\n\r\n", b"400"),
        (b"GET /healthz HTTP/9.9\r\nHost: x\r\n\r\n", b"400"),
        (CREATE + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\n{}", b"400"),
        (CREATE + b"Content-Length: -1\r\n\r\n{}", b"400"),
        (CREATE + b"Content-Length: +2\r\n\r\n{}", b"400"),
        (CREATE + b"Content-Length: 1_0\r\n\r\n{}", b"400"),
        (CREATE + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", b"400"),
        (CREATE + b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n", b"400"),
        (CREATE + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n", b"400"),
        (CREATE + b"Transfer-Encoding: chunked\r\n\r\n-2\r\n{}\r\n0\r\n\r\n", b"400"),
    ],
    ids=lambda value: value.decode("latin-1").replace(HEAD.decode(), "")[:60] if value else "",
)
async def test_malformed_requests(world: World, request_: bytes, status: bytes) -> None:
    """Refused, and nothing behind them on the connection is taken for a request."""
    answer = await talk(world, request_ + b"GET /api/v1/me HTTP/1.1\r\n" + HEAD + b"\r\n")
    assert answer.split(b" ", 2)[1] == status
    assert len(STATUS_LINE.findall(answer)) == 1
    assert b"Traceback" not in answer


async def test_nothing_of_a_request_comes_back_as_a_header(world: World) -> None:
    for path in (
        "/api/v1/services/%0d%0aX-Evil:%201",
        "/%0d%0aSet-Cookie:%20a=b",
        "//evil.example",
    ):
        answer = await world.get(path, headers={"X-Request-Id": "evil", "Accept": "text/html"})
        assert answer.status == 404
        assert "evil" not in str(answer.headers).lower()
        assert "Set-Cookie" not in answer.headers
    forwarded = {"X-Forwarded-Host": "evil.example", "X-Forwarded-Proto": "gopher"}
    answer = await world.get("/api/v1/services/web", headers={"Host": "evil.example", **forwarded})
    assert b"evil.example" not in answer.raw


async def test_bombs_are_neither_unpacked_nor_held(world: World) -> None:
    """A hundred bodies of 50 MB in 50 kB each, at every address that takes a body."""
    bomb = gzip.compress(b" " * 50_000_000, 9)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for encoding in ("gzip", "deflate", "br", "gzip, gzip", "GZIP"):
        headers = {"Content-Type": "application/json", "Content-Encoding": encoding}
        for path in ("services", "plans", "uploads", "tokens", "services/web/deployments"):
            for _ in range(4):
                answer = await world.call("POST", f"/api/v1/{path}", data=bomb, headers=headers)
                assert answer.status == 415, (path, encoding, answer.raw)
    form = {"Content-Type": "application/x-www-form-urlencoded", "Content-Encoding": "gzip"}
    answer = await world.call("POST", "/auth/form/complete", who=None, data=bomb, headers=form)
    assert answer.status in (401, 415)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 40 * 1024


async def test_an_upload_that_never_ends_is_cut_off_at_the_limit(world: World) -> None:
    """Chunked, so that nobody says beforehand how much it will be."""
    chunk = b"10000\r\n" + b"\x1f\x8b" + b"x" * 0xFFFE + b"\r\n"
    answer = await talk(
        world,
        CREATE + b"Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n",
        *[chunk] * 40,
    )
    assert answer.split(b" ", 2)[1] == b"413"


def test_the_patience_in_earnest() -> None:
    from helvetia.kernel.http import app, bodies
    from helvetia.plugins.sources.upload import endpoint

    assert app.IDLE_SECONDS + app.LINGER_SECONDS <= 75
    assert bodies.BODY_SECONDS <= 60
    assert endpoint._SILENCE_SECONDS <= 60
