"""What browsers are told with every answer, and what other sites may make them ask."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from http_support import TOKENS, Answer, World, open_platform, serve

FRIEND, FOE = "https://apps.example.com", "https://evil.example"
PREFLIGHT = {"Access-Control-Request-Method": "PATCH"}
# One of each kind: health, document, API, error, page, sign-in, file, metrics.
PATHS = [
    "/healthz", "/openapi.json", "/api/v1", "/api/v1/services", "/api/v1/services/none", "/nothing",
    "/desk", "/auth/form", "/metrics", "/webhooks/none", "/", "/services/web",
]  # fmt: skip


@pytest.fixture
async def shared(populated: Path, tmp_path: Path) -> AsyncIterator[World]:
    """A platform whose operator named a friend."""
    home = shutil.copytree(populated, tmp_path / "home")
    origins = {"HELVETIA_CORS_ORIGINS": f"https://other.example:8443,{FRIEND}"}
    async with open_platform(home, **origins) as platform, serve(platform) as world:
        yield world


def assert_guarded(answer: Answer, where: str) -> None:
    headers = answer.headers
    assert headers["X-Content-Type-Options"] == "nosniff", where
    assert headers["X-Frame-Options"] == "DENY", where
    assert headers["Referrer-Policy"] == "same-origin", where
    assert headers["Cross-Origin-Opener-Policy"] == "same-origin", where
    assert headers["Cross-Origin-Resource-Policy"] == "same-origin", where
    assert headers["Server"] == "helvetia", where
    policy = headers["Content-Security-Policy"]
    assert "frame-ancestors 'none'" in policy, where
    assert "unsafe-inline" not in policy, where
    assert "unsafe-eval" not in policy, where
    assert not [name for name in headers if name.startswith("Access-Control-")], where


async def test_every_answer_tells_browsers_what_they_must_not_do(world: World) -> None:
    for method in ("GET", "POST", "OPTIONS"):
        for path in PATHS:
            for who in (None, "owner"):
                answer = await world.call(method, path, who=who, headers={"Origin": FOE})
                assert_guarded(answer, f"{method} {path}")
                assert answer.status < 500


async def test_https_stays_https(world: World) -> None:
    plain = await world.get("/healthz")
    assert "Strict-Transport-Security" not in plain.headers
    secure = await world.get("/healthz", headers={"X-Forwarded-Proto": "https"})
    assert secure.headers["Strict-Transport-Security"] == "max-age=31536000"


@pytest.mark.parametrize(
    ("origin", "is_friend"),
    [
        (FRIEND, True),
        ("https://other.example:8443", True),
        (FOE, False),
        ("null", False),
        ("", False),
        ("*", False),
        ("http://apps.example.com", False),
        ("https://apps.example.com:443", False),
        ("https://apps.example.com.evil.example", False),
        ("https://evil.apps.example.com", False),
        ("https://apps.example.com/", False),
        (f"https://other.example:8443,{FRIEND}", False),
        ("https://apps.example.com, https://evil.example", False),
    ],
)
async def test_only_origins_of_the_list_may_read(
    shared: World, origin: str, is_friend: bool
) -> None:
    asked = {"Origin": origin, **PREFLIGHT}
    before = await shared.call("OPTIONS", "/api/v1/services/web", who=None, headers=asked)
    after = await shared.get("/api/v1/services/web", headers={"Origin": origin})
    assert after.status == 200
    assert before.status == 204
    for answer in (before, after):
        assert answer.headers.get("Access-Control-Allow-Origin") == (origin if is_friend else None)
        assert ("Origin" in ", ".join(answer.headers.getall("Vary", []))) is is_friend
        # A browser sends no cookie along, whoever asks.
        assert "Access-Control-Allow-Credentials" not in answer.headers
    if is_friend:
        assert "Authorization" in before.headers["Access-Control-Allow-Headers"]
        assert "PATCH" in before.headers["Access-Control-Allow-Methods"]


async def test_a_friend_changes_nothing_without_a_token(shared: World) -> None:
    for path, who, status in (
        ("/api/v1/services/web/stop", None, 401),
        ("/api/v1/services/web/stop", "owner", 202),
        ("/auth/form/complete", None, 403),
    ):
        answer = await shared.call("POST", path, who=who, headers={"Origin": FRIEND})
        assert answer.status == status, path


async def test_nobody_is_a_friend_by_default(world: World) -> None:
    for origin in (FRIEND, FOE, "null", world.url):
        headers = {"Origin": origin, **PREFLIGHT}
        answer = await world.call("OPTIONS", "/api/v1/services/web", who=None, headers=headers)
        assert answer.status == 405
        assert "Access-Control-Allow-Origin" not in answer.headers


@pytest.mark.parametrize("origin", [FOE, FRIEND, "null", "https://127.0.0.1", "http://localhost"])
async def test_a_socket_is_for_our_own_pages(shared: World, origin: str) -> None:
    headers = {"Authorization": f"Bearer {TOKENS['owner']}", "Origin": origin}
    url = f"{shared.url}/api/v1/services/web/logs/follow"
    with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
        await shared.session.ws_connect(url, headers=headers)
    assert caught.value.status == 403
