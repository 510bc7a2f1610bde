from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from helvetia.kernel.http.app import make_app
from helvetia.kernel.platform import Platform
from helvetia.kernel.settings import Settings

from .world import Keys, Person, sign_in

Client = TestClient[web.Request, web.Application]


@dataclass(frozen=True, slots=True)
class Site:
    """A served control plane without a worker, and who has opened it."""

    platform: Platform
    rung: list[str]
    client: Callable[[Person | None], Awaitable[Client]]


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with all tables, made once by the real migrations."""
    home = tmp_path_factory.mktemp("web")

    async def make() -> None:
        platform = Platform(Settings(home, {}))
        await platform.open()
        await platform.close()

    with ThreadPoolExecutor(1) as thread:
        thread.submit(lambda: asyncio.run(make())).result()
    return home


@pytest.fixture
async def site(
    request: pytest.FixtureRequest, migrated: Path, tmp_path: Path
) -> AsyncIterator[Site]:
    """Serve the application; indirect parameters are settings."""
    settings: dict[str, str] = getattr(request, "param", {})
    home = tmp_path / "home"
    shutil.copytree(migrated, home)
    platform = Platform(Settings(home, {f"HELVETIA_{k}": v for k, v in settings.items()}))
    await platform.open()
    Keys.vault = platform.vault
    rung: list[str] = []
    clients: list[Client] = []

    async def ring(deployment_id: str) -> None:
        rung.append(deployment_id)

    server = TestServer(make_app(platform, ring))
    await server.start_server()

    async def client(person: Person | None) -> Client:
        cookies = {"helvetia_session": person.cookie} if person else None
        made: Client = TestClient(server, cookies=cookies)
        clients.append(made)
        return made

    yield Site(platform, rung, client)
    for made in clients:
        await made.session.close()
    await server.close()
    await platform.close()


@pytest.fixture
async def anna(site: Site) -> Person:
    """The operator."""
    return await sign_in("anna")


@pytest.fixture
async def browser(site: Site, anna: Person) -> Client:
    return await site.client(anna)
