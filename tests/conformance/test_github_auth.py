"""The sign-in by GitHub keeps what every auth provider promises."""

from __future__ import annotations

import html
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import pytest
import pytest_asyncio

from helvetia.testing import AuthConformance, TestKernel
from tests.github_stand_in.oauth import OAuthServer, running_oauth


class TestGitHub(AuthConformance):
    factory = "helvetia.plugins.auth.github:helvetia_auth"

    @pytest_asyncio.fixture
    async def github(self) -> AsyncIterator[OAuthServer]:
        async with running_oauth() as server:
            server.person("ada", email="ada@example.org")
            yield server

    @pytest.fixture
    def kernel(self, tmp_path: Path, github: OAuthServer) -> TestKernel:
        settings = {
            "url": github.url,
            "client_id": github.client_id,
            "client_secret": github.client_secret,
        }
        return TestKernel(tmp_path / "home", {"github": settings})

    @pytest.fixture
    async def sign_in(self, client: Any, github: OAuthServer) -> Any:
        github.callbacks = (str(client.make_url("/auth/github/")),)

        async def sign_in() -> None:
            page = await (await client.get("/auth/github")).text()
            found = re.search(r'class="button" href="([^"]+)"', page)
            assert found is not None
            async with (
                aiohttp.ClientSession() as browser,
                browser.get(html.unescape(found[1]), allow_redirects=False) as answer,
            ):
                back = urlsplit(answer.headers["Location"])
            await client.get(f"{back.path}?{back.query}")

        return sign_in
