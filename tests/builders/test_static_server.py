"""The real server process, asked over real connections."""

from __future__ import annotations

import asyncio
import gzip
import signal
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import brotli
import psutil
import pytest
from yarl import URL

from helvetia import Artifact
from helvetia.plugins.builders.static.build import StaticBuilder
from helvetia.plugins.builders.static.rules import cache_control, cache_rules

from .conftest import Running, Start, Workshop, lay, listens, started

STYLE = "p { color: red }\n" * 200
DATA = bytes(range(256)) * 40
FILES: dict[str, str | bytes] = {
    "index.html": "<p>home",
    "about.html": "<p>about",
    "404.html": "<p>lost",
    "docs/index.html": "<p>docs",
    "style.css": STYLE,
    "data.bin": DATA,
    "logo.svg": "<svg/>",
    "feed.xml": "<feed/>",
    "app.wasm": b"\0asm",
    "grüezi.html": "<p>zürich",
    "archive.tar": "tar",
    "archive.tar.gz": "an archive of their own",
    ".well-known/security.txt": "Contact: us",
    ".env": "SECRET=1",
    ".git/config": "SECRET",
    "docs/.htpasswd": "SECRET",
}


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    workshop = Workshop(tmp_path_factory.mktemp("site"))
    built, _ = asyncio.run(workshop.build(StaticBuilder(), FILES))
    # The builder leaves none of these in a site; the server must not rely on that.
    site = built.folder / "site"
    lay(site, {name: text for name, text in FILES.items() if "SECRET" in str(text)})
    (site / "link.txt").symlink_to("/etc/passwd")
    (site / "folder").symlink_to("/etc")
    return built


@pytest.fixture(scope="module")
def server(artifact: Artifact) -> Iterator[Running]:
    with asyncio.Runner() as runner:
        process = started(artifact)
        yield runner.run(process.__aenter__())
        runner.run(process.__aexit__(None, None, None))


async def raw(port: int, request: str) -> tuple[int, dict[str, str], bytes]:
    """Send a request as it stands: clients tidy paths up before they send them."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"{request}\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
    async with asyncio.timeout(10):
        answer = await reader.read()
    writer.close()
    head, _, body = answer.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = {name.title(): value for name, _, value in (line.partition(": ") for line in lines)}
    return int(first.split()[1]), headers, body


async def test_pages_and_types(server: Running, client: aiohttp.ClientSession) -> None:
    for path, kind, text in [
        ("/", "text/html; charset=utf-8", "<p>home"),
        ("/index.html", "text/html; charset=utf-8", "<p>home"),
        ("/about", "text/html; charset=utf-8", "<p>about"),
        ("/about?a=1", "text/html; charset=utf-8", "<p>about"),
        ("/docs/", "text/html; charset=utf-8", "<p>docs"),
        ("/gr%C3%BCezi", "text/html; charset=utf-8", "<p>zürich"),
        ("/style.css", "text/css; charset=utf-8", STYLE),
        ("/logo.svg", "image/svg+xml; charset=utf-8", "<svg/>"),
        ("/feed.xml", "application/xml; charset=utf-8", "<feed/>"),
        ("/app.wasm", "application/wasm", "\0asm"),
        ("/data.bin", "application/octet-stream", None),
        ("/archive.tar.gz", "application/gzip", "an archive of their own"),
        ("/.well-known/security.txt", "text/plain; charset=utf-8", "Contact: us"),
    ]:
        url = URL(server.url + path, encoded=True)
        async with client.get(url, headers={"Accept-Encoding": "identity"}) as answer:
            assert answer.status == 200, path
            assert answer.headers["Content-Type"] == kind, path
            assert answer.headers["X-Content-Type-Options"] == "nosniff"
            assert "Content-Encoding" not in answer.headers
            if text is not None:
                assert (await answer.read()).decode() == text, path


@pytest.mark.parametrize(
    ("accepts", "encoding"),
    [
        ("gzip, deflate, br", "br"),
        ("gzip", "gzip"),
        ("br;q=0, gzip;q=0.5", "gzip"),
        ("*", "br"),
        ("identity", None),
        ("gzip;q=0", None),
        ("", None),
    ],
)
async def test_encodings(
    server: Running, client: aiohttp.ClientSession, accepts: str, encoding: str | None
) -> None:
    async with client.get(
        server.url + "/style.css", headers={"Accept-Encoding": accepts}
    ) as answer:
        body = await answer.read()
        assert answer.headers.get("Content-Encoding") == encoding
        assert answer.headers["Vary"] == "Accept-Encoding"
        assert answer.headers["Content-Type"] == "text/css; charset=utf-8"
        plain = {"br": brotli.decompress, "gzip": gzip.decompress}.get(encoding or "", bytes)(body)
        assert plain == STYLE.encode()


async def test_compressed_forms_are_not_documents(server: Running) -> None:
    for path in ("/style.css.gz", "/style.css.br", "/.helvetia/br/style.css", "/br/style.css"):
        status, _, body = await raw(server.port, f"GET {path} HTTP/1.1")
        assert (status, body) == (404, b"<p>lost"), path


async def test_conditional_requests(server: Running, client: aiohttp.ClientSession) -> None:
    tags = {}
    for encoding in ("br", "identity"):
        headers = {"Accept-Encoding": encoding}
        async with client.get(server.url + "/style.css", headers=headers) as answer:
            tags[encoding] = answer.headers["ETag"]
        headers["If-None-Match"] = f'"other", W/{tags[encoding]}'
        async with client.get(server.url + "/style.css", headers=headers) as answer:
            assert (answer.status, await answer.read()) == (304, b"")
            assert answer.headers["ETag"] == tags[encoding]
            assert answer.headers["Vary"] == "Accept-Encoding"
            assert answer.headers["Cache-Control"] == "public, max-age=0, must-revalidate"
    assert tags["br"] != tags["identity"]
    async with client.get(
        server.url + "/style.css", headers={"If-None-Match": '"other"'}
    ) as answer:
        assert answer.status == 200


async def test_tags_follow_content_not_time(workshop: Workshop, start: Start) -> None:
    tags = []
    for text in ("<p>one", "<p>one", "<p>two"):
        artifact, _ = await workshop.build(StaticBuilder(), {"index.html": text})
        async with start(artifact) as running:
            tags.append((await raw(running.port, "GET / HTTP/1.1"))[1]["Etag"])
    assert tags[0] == tags[1] != tags[2]


@pytest.mark.parametrize(
    ("wanted", "status", "part", "content_range"),
    [
        ("bytes=0-9", 206, DATA[:10], f"bytes 0-9/{len(DATA)}"),
        ("bytes=100-", 206, DATA[100:], f"bytes 100-{len(DATA) - 1}/{len(DATA)}"),
        ("bytes=-5", 206, DATA[-5:], f"bytes {len(DATA) - 5}-{len(DATA) - 1}/{len(DATA)}"),
        (f"bytes={len(DATA)}-", 416, None, f"bytes */{len(DATA)}"),
    ],
)
async def test_ranges(
    server: Running,
    client: aiohttp.ClientSession,
    wanted: str,
    status: int,
    part: bytes | None,
    content_range: str,
) -> None:
    async with client.get(server.url + "/data.bin", headers={"Range": wanted}) as answer:
        assert answer.status == status
        assert answer.headers["Content-Range"] == content_range
        if part is not None:
            assert await answer.read() == part


async def test_a_range_of_another_release_is_refused(
    server: Running, client: aiohttp.ClientSession
) -> None:
    url = server.url + "/data.bin"
    async with client.head(url) as answer:
        tag = answer.headers["ETag"]
    for condition, status in [(tag, 206), ('"of-yesterday"', 200)]:
        headers = {"Range": "bytes=10-19", "If-Range": condition}
        async with client.get(url, headers=headers) as answer:
            assert answer.status == status
            assert await answer.read() == (DATA[10:20] if status == 206 else DATA)
            assert answer.headers["ETag"] == tag
    for condition, status in [(tag, 200), ('"of-yesterday"', 412)]:
        async with client.get(url, headers={"If-Match": condition}) as answer:
            assert answer.status == status


async def test_head_and_other_methods(server: Running, client: aiohttp.ClientSession) -> None:
    async with client.head(server.url + "/data.bin") as answer:
        assert (answer.status, await answer.read()) == (200, b"")
        assert answer.headers["Content-Length"] == str(len(DATA))
    for method in ("POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"):
        async with client.request(method, server.url + "/") as answer:
            assert (answer.status, answer.headers["Allow"]) == (405, "GET, HEAD"), method


@pytest.mark.parametrize(
    "path",
    [
        "/../../../../etc/passwd", "/..%2f..%2f..%2f..%2fetc/passwd", "/%2e%2e/%2e%2e/etc/passwd",
        "/docs/../../.helvetia/static.json", "/docs/..%2f..%2f.helvetia/static.json",
        "/%2e%2e/.helvetia/static.json", "/..%5c..%5cetc/passwd", "/....//....//etc/passwd",
        "//etc/passwd", "/%2fetc/passwd", "/%00", "/index.html%00.css", "/%ff%fe", "/%c0%ae%c0%ae/",
        "/.env", "/%2eenv", "/.git/config", "/docs/.htpasswd", "/.well-known/../.env",
        "/.well-known/.env", "/a/.well-known/x", "/./index.html", "/docs/./", "/link.txt",
        "/folder/passwd", "/data.bin/", "/nothing", "/nothing.html", "/index.html/x",
        "/" + "a" * 5000,
    ],
)  # fmt: skip
async def test_nothing_else_is_served(server: Running, path: str) -> None:
    status, headers, body = await raw(server.port, f"GET {path} HTTP/1.1")
    if path == "/data.bin/":
        assert (status, headers["Location"]) == (301, "/data.bin")
        return
    assert status in (400, 404), path
    assert b"root:" not in body
    assert b"SECRET" not in body
    assert b'"cache"' not in body


@pytest.mark.parametrize(
    ("path", "location"),
    [
        ("/docs", "/docs/"),
        ("/docs?a=1&b=%2F", "/docs/?a=1&b=%2F"),
        ("/about/", "/about"),
        ("//evil.example/docs", None),
        ("//evil.example/..%2fdocs", None),
        ("/%5cevil.example/", None),
        ("/\\evil.example/docs", None),
        ("//docs", None),
        ("///docs", None),
        ("/%2f/docs", None),
        ("/%0d%0aSet-Cookie:a=b/docs", None),
        ("http://evil.example/docs", "/docs/"),
    ],
)
async def test_redirects_stay_here(server: Running, path: str, location: str | None) -> None:
    status, headers, _ = await raw(server.port, f"GET {path} HTTP/1.1")
    assert headers.get("Location") == location
    assert status == (301 if location else 404)
    assert "Set-Cookie" not in headers


async def test_missing_pages(server: Running, workshop: Workshop, start: Start) -> None:
    status, headers, body = await raw(server.port, "GET /no HTTP/1.1\r\nRange: bytes=0-1")
    assert (status, body) == (404, b"<p>lost")
    assert headers["Cache-Control"] == "no-cache"
    artifact, _ = await workshop.build(StaticBuilder(), {"a.txt": "a"})
    async with start(artifact) as running:
        status, _, body = await raw(running.port, "GET / HTTP/1.1")
        assert status == 404
        assert b"Not found" in body


async def test_single_page(workshop: Workshop, start: Start) -> None:
    files = {"index.html": "<p>app", "app.js": "1", ".env": "SECRET"}
    artifact, _ = await workshop.build(StaticBuilder(), files, settings={"spa": "on"})
    async with start(artifact) as running:
        for request, status in [
            ("GET /users/7", 200),
            ("HEAD /users/7", 200),
            ("GET /users/7/", 200),
            ("GET /users/a.b", 404),
            ("GET /assets/old.js", 404),
            ("GET /.env", 404),
            ("GET //users", 404),
            ("POST /users/7", 405),
        ]:
            got, headers, body = await raw(running.port, f"{request} HTTP/1.1")
            assert got == status, request
            if status == 200:
                assert headers["Cache-Control"] == "no-cache"
                assert body == (b"<p>app" if request.startswith("GET") else b"")
        accept = "Accept: text/html,*/*"
        got, _, body = await raw(running.port, f"GET /users/a.b HTTP/1.1\r\n{accept}")
        assert (got, body) == (200, b"<p>app")


@pytest.mark.parametrize(
    ("path", "immutable"),
    [
        ("/assets/index-BxYz1234.js", True),
        ("/assets/index-DiwrgTda.css", True),
        ("/assets/deep/er/index-Diwr_Tda.css", True),
        ("/static/js/main.3f2a1b9c.chunk.js", True),
        ("/main.3f2a1b9c.js", True),
        ("/_astro/about.CxqBqGZ1.css", True),
        ("/index-BxYz1234.js", False),
        ("/assets/my-component.js", False),
        ("/assets/photo-20240131.jpg", False),
        ("/assets/BxYz1234/logo.svg", False),
        ("/app.js", False),
        ("/index-BxYz1234.html", False),
    ],
)
def test_immutable_names(path: str, immutable: bool) -> None:
    import re

    for built in (True, False):
        rules = [(re.compile(pattern), value) for pattern, value in cache_rules(built=built)]
        assert ("immutable" in cache_control(rules, path)) is (immutable and built)


async def test_sigterm_finishes_what_is_under_way(workshop: Workshop, start: Start) -> None:
    size = 24 * 1024 * 1024
    artifact, _ = await workshop.build(StaticBuilder(), {"index.html": "", "big.bin": bytes(size)})
    async with start(artifact) as running:
        reader, writer = await asyncio.open_connection("127.0.0.1", running.port, limit=65536)
        writer.write(b"GET /big.bin HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        head = await reader.readuntil(b"\r\n\r\n")
        assert f"Content-Length: {size}".encode() in head
        running.process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(5):
            while await listens(running.port):
                await asyncio.sleep(0.02)
        received = 0
        async with asyncio.timeout(20):
            while chunk := await reader.read(1 << 20):
                received += len(chunk)
            assert received == size
            assert await running.process.wait() == 0
        writer.close()


async def test_memory_is_small(server: Running) -> None:
    for _ in range(20):
        await raw(server.port, "GET / HTTP/1.1")
    resident = psutil.Process(server.process.pid).memory_info().rss / 2**20
    assert resident < 64, f"{resident:.0f} MiB"


async def test_the_example_needs_nothing_from_elsewhere(workshop: Workshop, start: Start) -> None:
    folder = Path(__file__).parents[2] / "examples" / "hello-static"
    artifact, _ = await workshop.build(StaticBuilder(), folder)
    async with start(artifact) as running:
        status, _, body = await raw(running.port, "GET / HTTP/1.1")
        assert status == 200
        assert b"http://" not in body
        assert b"https://" not in body
        for name in ("style.css", "mountain.svg"):
            assert name.encode() in body
            assert (await raw(running.port, f"GET /{name} HTTP/1.1"))[0] == 200
