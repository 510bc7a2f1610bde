from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from argon2 import PasswordHasher

from helvetia import ModelApp
from helvetia.kernel.database import Database
from helvetia.plugins.auth.local.passwords import Hasher
from helvetia.plugins.auth.local.provider import LocalAuth

Client = TestClient[web.Request, web.Application]
Sign = Callable[[LocalAuth], Awaitable[Client]]

# Real argon2, as cheap as it gets: the tests are about who gets in, not about how slow it is.
CHEAP = PasswordHasher(time_cost=1, memory_cost=64, parallelism=1)


TABLES = ModelApp(
    label="auth_local",
    models="helvetia.plugins.auth.local.models",
    migrations="helvetia.plugins.auth.local.migrations",
)


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with all tables, made once by the real migrations."""
    path = tmp_path_factory.mktemp("auth") / "migrated.db"
    with ThreadPoolExecutor(1) as thread:
        thread.submit(
            lambda: asyncio.run(Database(f"sqlite://{path}", [TABLES]).migrate())
        ).result()
    return path


@pytest.fixture
async def database(migrated: Path, tmp_path: Path) -> AsyncIterator[Database]:
    path = tmp_path / "helvetia.db"
    shutil.copy(migrated, path)
    database = Database(f"sqlite://{path}", [TABLES])
    await database.open()
    yield database
    await database.close()


@pytest.fixture
def provider(database: Database) -> LocalAuth:
    return LocalAuth(Hasher(CHEAP))


@pytest.fixture
async def mount(database: Database) -> AsyncIterator[Sign]:
    """Mount a provider where the kernel does; an identity comes back as JSON."""
    clients: list[Client] = []

    async def start(provider: LocalAuth) -> Client:
        async def complete(request: web.Request) -> web.StreamResponse:
            answer = await provider.complete(request)
            if isinstance(answer, web.StreamResponse):
                return answer
            return web.json_response(
                {
                    "subject": answer.subject,
                    "name": answer.name,
                    "may_register": answer.may_register,
                }
            )

        app = web.Application()
        app.router.add_get("/auth/local", provider.begin)
        app.router.add_route("GET", "/auth/local/complete", complete)
        app.router.add_route("POST", "/auth/local/complete", complete)
        client = TestClient(TestServer(app))
        await client.start_server()
        clients.append(client)
        return client

    yield start
    for client in clients:
        await client.close()


@pytest.fixture
async def client(mount: Sign, provider: LocalAuth) -> Client:
    return await mount(provider)
