"""What a caller is told when something is wrong."""

from __future__ import annotations

import asyncio
import gzip
from typing import Any

import pytest
from http_support import World, make_service

from helvetia.kernel.http.shapes import Problem

NEW = {"name": "web", "source": "https://git.example/app.git"}


@pytest.mark.parametrize(
    ("body", "fields", "words"),
    [
        ({}, {"name", "source"}, "is required"),
        ({**NEW, "name": "Web"}, {"name"}, "lower-case letters"),
        ({**NEW, "name": "-web"}, {"name"}, "begins with a letter"),
        ({**NEW, "name": "w" * 64}, {"name"}, "at most 63"),
        ({**NEW, "name": 7}, {"name"}, "must be text"),
        ({**NEW, "name": "api"}, {"name"}, "reserved"),
        ({**NEW, "name": "deadbeefdeadbeef"}, {"name"}, "looks like an id"),
        ({**NEW, "name": "xn--80ak"}, {"name"}, "xn--"),
        ({**NEW, "source": ""}, {"source"}, "must not be empty"),
        ({**NEW, "source": "https://me:pw@git.example/x"}, {"source"}, "password"),
        ({**NEW, "source": "https://git.example/\nx"}, {"source"}, "no address has"),
        ({**NEW, "source": "x\u0000"}, {"source"}, "NUL"),
        ({**NEW, "sorce": "x"}, {"sorce"}, "is not known here"),
        ({**NEW, "environment": {"1A": "x"}}, {"environment.1A"}, "begin with a digit"),
        ({**NEW, "environment": {"A": "\u0000"}}, {"environment.A"}, "NUL"),
        ({**NEW, "environment": {"PORT": "1"}}, {"environment.PORT"}, "set by the platform"),
        ({**NEW, "settings": {"limits": {"cpu": -1}}}, {"settings.limits.cpu"}, "at least 0"),
        ({**NEW, "settings": {"limits": {"cpu": 1e999}}}, {"settings.limits.cpu"}, "at most"),
        ({**NEW, "settings": {"health": {"path": "x"}}}, {"settings.health.path"}, "begins with /"),
        (
            {**NEW, "settings": {"health": {"expected": "ok"}}},
            {"settings.health.expected"},
            "list of statuses",
        ),
        ([], {"body"}, "must be an object"),
    ],
)
async def test_a_wrong_value_is_named(
    world: World, body: Any, fields: set[str], words: str
) -> None:
    answer = await world.post("/api/v1/services", body)
    assert answer.status == 422
    problem = Problem.model_validate(answer.json)
    assert {one.field for one in problem.errors} == fields
    assert words in problem.errors[0].message
    assert words in problem.detail
    assert answer.headers["Content-Type"].startswith("application/problem+json")
    assert (await world.get("/api/v1/services")).json["items"] == []


@pytest.mark.parametrize("raw", [b"{", b"\xff", b'{"a":1}}', b"[" * 100_000, b'{"name":"\\ud800"}'])
async def test_what_is_no_json_is_a_bad_request(world: World, raw: bytes) -> None:
    headers = {"Content-Type": "application/json"}
    answer = await world.call("POST", "/api/v1/services", data=raw, headers=headers)
    assert (answer.status, answer.json["code"]) == (400, "bad-request")


async def test_a_form_is_no_json(world: World) -> None:
    answer = await world.call("POST", "/api/v1/services", data={"name": "web"})
    assert (answer.status, answer.json["code"]) == (415, "unsupported-media-type")


async def test_a_packed_body_is_refused_and_not_unpacked(world: World) -> None:
    bomb = gzip.compress(b" " * 50_000_000)
    headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
    for path in ("/api/v1/services", "/api/v1/uploads"):
        answer = await world.call("POST", path, data=bomb, headers=headers)
        assert (answer.status, answer.json["code"]) == (415, "unsupported-media-type")


async def test_a_large_body_is_refused(world: World) -> None:
    answer = await world.post("/api/v1/services", {**NEW, "type": "x" * 2_000_000})
    assert (answer.status, answer.json["code"]) == (413, "too-large")


async def test_addresses_and_methods_that_are_not_known(world: World) -> None:
    answer = await world.get("/api/v1/nothing")
    assert (answer.status, answer.json["code"]) == (404, "not-found")
    answer = await world.call("PUT", "/api/v1/services")
    assert (answer.status, answer.json["code"]) == (405, "method-not-allowed")
    assert answer.headers["Allow"] == "GET, HEAD, POST"


async def test_a_bug_tells_strangers_nothing_and_the_log_everything(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    answer = await world.get("/crash", who=None)
    assert (answer.status, answer.json["code"]) == (500, "internal")
    assert b"secret" not in answer.raw
    request_id = answer.headers["X-Request-Id"]
    assert request_id == answer.json["request_id"]
    assert request_id in answer.json["hint"]
    assert request_id in caplog.text
    assert "a secret of the page" in caplog.text


async def test_a_browser_gets_a_page(world: World) -> None:
    answer = await world.get("/<b>", who=None, headers={"Accept": "text/html"})
    assert answer.status == 404
    assert answer.headers["Content-Type"].startswith("text/html")
    assert b"<h1>Not Found</h1>" in answer.raw
    assert "default-src 'self'" in answer.headers["Content-Security-Policy"]


@pytest.mark.parametrize(
    ("path", "field"),
    [
        ("/api/v1/services?limit=0", "limit"),
        ("/api/v1/services?limit=101", "limit"),
        ("/api/v1/services?limit=x", "limit"),
        ("/api/v1/services?limit=1&limit=2", "limit"),
        ("/api/v1/services?page=2", "page"),
        ("/api/v1/services?cursor=%00", "cursor"),
        ("/api/v1/services?cursor=AA==", "cursor"),
        ("/api/v1/services/web/deployments?cursor=eA==", "cursor"),
        ("/api/v1/services/web/releases?cursor=LTE=", "cursor"),
        ("/api/v1/services/web/events?cursor=eA==", "cursor"),
        ("/api/v1/services/web/logs?after=-1", "after"),
        ("/api/v1/services/web/logs?after=99999999999999999999", "after"),
        ("/api/v1/services/web/logs?tail=1&after=1", "tail"),
    ],
)
async def test_a_wrong_query_is_named(world: World, path: str, field: str) -> None:
    await make_service()
    answer = await world.get(path)
    assert answer.status == 422
    assert answer.fields() == {field}


@pytest.mark.parametrize(
    "key", ["%00", "web%00", "%ff", "..", "we%2fb", "'", "%25", "x" * 3000, "Web", "%F0%9F%98%80"]
)
async def test_a_strange_name_is_not_found(world: World, key: str) -> None:
    await make_service()
    for path in (f"/api/v1/services/{key}/releases", f"/api/v1/deployments/{key}/logs"):
        assert (await world.get(path)).status == 404


async def test_headers_for_browsers_are_on_everything(world: World) -> None:
    for path in ("/healthz", "/api/v1", "/nothing", "/desk", "/openapi.json"):
        headers = (await world.get(path)).headers
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Referrer-Policy"] == "same-origin"
        assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
        assert headers["Server"] == "helvetia"
        assert len(headers["X-Request-Id"]) == 16


async def test_a_body_that_does_not_come_is_waited_for_no_longer_than_allowed(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("helvetia.kernel.http.bodies.BODY_SECONDS", 0.2)
    host, port = world.runner.addresses[0][:2]
    reader, writer = await asyncio.open_connection(host, port)
    writer.write(
        b"POST /api/v1/services HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer hv_owner\r\n"
        b"Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{"
    )
    async with asyncio.timeout(10):
        assert b" 408 " in await reader.readline()
    writer.close()


@pytest.mark.parametrize(
    ("media", "data"),
    [
        ("multipart/form-data", b"x"),
        ("multipart/form-data; boundary=b", b"--b\r\nx"),
        ("multipart/form-data; boundary=b", b"--b\r\nContent-Disposition: form-data\r\n\r\nx"),
        ("application/x-www-form-urlencoded; charset=nothing", b"a=b"),
        ("application/x-www-form-urlencoded", b"\xff=\xfe"),
    ],
)
async def test_a_form_that_cannot_be_read_is_no_bug(world: World, media: str, data: bytes) -> None:
    headers = {"Content-Type": media}
    answer = await world.call("POST", "/auth/form/complete", who=None, data=data, headers=headers)
    assert answer.status in (400, 401)


async def test_a_body_that_is_cut_off_is_no_bug(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    host, port = world.runner.addresses[0][:2]
    _, writer = await asyncio.open_connection(host, port)
    writer.write(
        b"POST /api/v1/services HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer hv_owner\r\n"
        b"Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{"
    )
    await writer.drain()
    # The other request comes behind it on the same loop: the first is being read by then.
    await world.get("/api/v1/me")
    writer.close()
    await writer.wait_closed()
    metrics = ""
    async with asyncio.timeout(10):
        while 'route="/api/v1/services",status="400"' not in metrics:
            await asyncio.sleep(0.02)
            metrics = (await world.get("/metrics")).raw.decode()
    assert "Traceback" not in caplog.text
