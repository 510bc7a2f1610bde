"""The client against answers that GitHub itself once gave, served by GitHub's own test server."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from helvetia.plugins.github import client
from helvetia.plugins.github.client import GitHubClient
from tests.e2e.harness import free_port

_PACKAGE = "@octokit/fixtures-server@8.1.7"


@pytest.fixture
async def recorded(tmp_path: Path) -> AsyncIterator[str]:
    install = ["npm", "install", "--silent", "--no-audit", "--no-fund", "--prefix", str(tmp_path)]
    await asyncio.to_thread(subprocess.run, [*install, _PACKAGE], check=True)
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    program = tmp_path / "node_modules" / ".bin" / "octokit-fixtures-server"
    arguments = ["--port", str(port), "--fixtures-url", url]
    server = await asyncio.create_subprocess_exec(program, *arguments)
    try:
        async with asyncio.timeout(60), aiohttp.ClientSession() as session:
            while True:
                try:
                    async with session.get(url):
                        break
                except aiohttp.ClientError:
                    await asyncio.sleep(0.05)
        yield url
    finally:
        server.terminate()
        await server.wait()


@pytest.mark.long
async def test_pages_of_github_are_followed_by_its_own_links(
    recorded: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The server answers only what was recorded, and that was asked for by the former name.
    monkeypatch.setitem(client._HEADERS, "Accept", "application/vnd.github.v3+json")
    wanted = {"scenario": "paginate-issues"}
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{recorded}/fixtures", json=wanted) as made,
    ):
        base = (await made.json())["url"]

    async def authorize(renew: bool) -> str:
        return f"token {1:040}"

    path = "/repos/octokit-fixture-org/paginate-issues/issues"
    async with GitHubClient(base, "recorded", authorize) as speaking:
        pages = [page async for page in speaking.pages(path, per_page=3)]
    assert [len(page) for page in pages] == [3, 3, 3, 3, 1]
    assert [one["number"] for page in pages for one in page] == list(range(13, 0, -1))
