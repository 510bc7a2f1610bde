"""Signed webhooks at 16 connections, on PostgreSQL, beside a bare handler and a bare insert.

Run: python -m bench.webhooks

Each delivery that is taken writes a delivery, a deployment and two events, and supersedes the
deployment before, all in one transaction with those that come meanwhile. Once more with Redis,
in which each request is counted for the limits. An authenticated list is asked for with both.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import hmac
import json
import sys
import tempfile
import uuid
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import aiohttp
import asyncpg

from bench._load import TITLES, Load, cpu_used, measure, repeat, ring, row, serve, serve_bare
from bench.api import get
from bench.tables import Target, judge, show
from helvetia.cli.local_operator import local_token
from helvetia.kernel import accounts
from helvetia.kernel.http.app import make_app, make_runner
from helvetia.kernel.models import Service
from helvetia.kernel.platform import Platform
from helvetia.kernel.settings import Settings
from helvetia.plugins.api import services
from helvetia.plugins.api.inputs import NewService
from tests.postgres_server import running_postgres
from tests.redis_server import running_redis

CONNECTIONS = 16
SECONDS = 5.0
_SEED_RATE = 210.0  # what the seed's own implementation did on such a machine
_MANY = "100000000/minute"
_REPOSITORY = "https://git.example/app.git"
_BODY = json.dumps(
    {
        "ref": "refs/heads/main",
        "after": "a" * 40,
        "repository": {"id": 1, "clone_url": _REPOSITORY, "default_branch": "main"},
        "head_commit": {"message": "change"},
    }
).encode()


async def push(client: aiohttp.ClientSession, url: str, secret: str, status: int) -> None:
    signature = hmac.new(secret.encode(), _BODY, hashlib.sha256).hexdigest()
    headers = {
        "Content-Type": "application/json",
        "X-GitHub-Event": "push",
        "X-GitHub-Delivery": str(uuid.uuid4()),
        "X-Hub-Signature-256": f"sha256={signature}",
    }
    async with client.post(url, data=_BODY, headers=headers) as answer:
        assert answer.status == status, await answer.text()
        await answer.read()


async def bare_inserts(url: str) -> Load:
    """Insert a row with the same body in a transaction of its own, at as many connections."""
    async with asyncpg.create_pool(url, min_size=CONNECTIONS, max_size=CONNECTIONS) as pool:
        await pool.execute("CREATE TABLE bare (id bigserial PRIMARY KEY, body bytea)")

        async def insert() -> None:
            await pool.execute("INSERT INTO bare (body) VALUES ($1)", _BODY)

        before = cpu_used()
        latencies = await repeat(insert, times=CONNECTIONS, seconds=SECONDS)
        return Load.of(latencies, seconds=SECONDS, cpu=cpu_used() - before)


@contextlib.asynccontextmanager
async def control_plane(folder: Path, **settings: str) -> AsyncIterator[tuple[str, dict[str, str]]]:
    """Serve one with the service `app`; give its URL and the headers of an operator."""
    platform = Platform(Settings(folder, {f"HELVETIA_{k}": v for k, v in settings.items()}))
    await platform.open()
    token = await local_token()
    team = await accounts.ensure_operator_team()
    if not await Service.exists():
        new = NewService(name="app", source=_REPOSITORY)
        await services.create(platform, new, team_id=team.id, actor="", trusted=False)
    runner, url = await serve(make_runner(make_app(platform, ring)))
    try:
        yield url, {"Authorization": f"Bearer {token}"}
    finally:
        await runner.cleanup()
        await platform.close()


async def make_hook(url: str, headers: dict[str, str]) -> tuple[str, str]:
    """Return the address of a hook and its secret."""
    async with (
        aiohttp.ClientSession() as client,
        client.post(f"{url}/api/v1/services/app/webhook", json={}, headers=headers) as answer,
    ):
        hook = await answer.json()
    return hook["url"], hook["secret"]


async def run(database: str, redis: str, folder: Path) -> int:
    load = partial(measure, push, connections=CONNECTIONS, seconds=SECONDS)
    plain, plain_url = await serve_bare()
    floor = await load(plain_url, "any", 200)
    loads = [
        ("bare aiohttp handler", floor),
        ("bare insert, without HTTP", await bare_inserts(database)),
    ]
    async with control_plane(folder / "one", DATABASE_URL=database) as (url, headers):
        hook, secret = await make_hook(url, headers)
        loads.append(("signed push, deployed", taken := await load(hook, secret, 202)))
        loads.append(("wrong signature", await load(hook, "wrong", 401)))
    counted = {"LIMITS_LOCAL": "true", "LIMITS_WEBHOOKS": _MANY, "LIMITS_REQUESTS": _MANY}
    shared = control_plane(folder / "two", DATABASE_URL=database, REDIS_URL=redis, **counted)
    async with shared as (url, headers):
        hook, secret = await make_hook(url, headers)
        loads.append(("signed push, counted in Redis", await load(hook, secret, 202)))
        listing = await measure(
            get, f"{url}/api/v1/services", headers, connections=CONNECTIONS, seconds=SECONDS
        )
        loads.append(("services, 1, counted in Redis", listing))
    await plain.cleanup()
    show(TITLES, [row(what, it, floor) for what, it in loads])
    rate = Target(
        what="signed push, deployed", unit="requests/s", measured=taken.rate,
        at_least=5 * _SEED_RATE,
    )  # fmt: skip
    return judge([rate, Target(what="its p99", unit="ms", measured=taken.p99, at_most=20)])


def main() -> int:
    with (
        running_postgres() as server,
        running_redis() as redis,
        tempfile.TemporaryDirectory() as folder,
    ):
        return asyncio.run(run(f"{server.url}/postgres", redis.url, Path(folder)))


if __name__ == "__main__":
    sys.exit(main())
