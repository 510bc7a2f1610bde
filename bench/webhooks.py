"""Signed webhooks at 16 connections, on PostgreSQL, beside a bare handler and a bare insert.

Run: python -m bench.webhooks

Each delivery that is taken writes a delivery, a deployment and an event, and supersedes the
deployment before, all in one transaction.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import sys
import tempfile
import uuid
from functools import partial
from pathlib import Path

import aiohttp
import asyncpg

from bench._load import TITLES, Load, cpu_used, measure, repeat, ring, row, serve, serve_bare
from bench.tables import Target, judge, show
from helvetia.kernel import accounts
from helvetia.kernel.http.app import make_app, make_runner
from helvetia.kernel.platform import Platform
from helvetia.kernel.settings import Settings
from helvetia.plugins.api import services
from helvetia.plugins.api.inputs import NewService
from tests.postgres_server import running_postgres

CONNECTIONS = 16
SECONDS = 5.0
_SEED_RATE = 210.0  # what the seed's own implementation did on such a machine
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


async def run(database: str, folder: Path) -> int:
    platform = Platform(Settings(folder, {"HELVETIA_DATABASE_URL": database}))
    await platform.open()
    token = await accounts.local_token()
    team = await accounts.ensure_operator_team()

    runner, url = await serve(make_runner(make_app(platform, ring)))
    plain, plain_url = await serve_bare()
    new = NewService(name="app", source=_REPOSITORY)
    await services.create(platform, new, team_id=team.id, actor="", trusted=False)
    headers = {"Authorization": f"Bearer {token}"}
    async with (
        aiohttp.ClientSession() as client,
        client.post(f"{url}/api/v1/services/app/webhook", json={}, headers=headers) as answer,
    ):
        hook = await answer.json()
    load = partial(measure, push, connections=CONNECTIONS, seconds=SECONDS)
    floor = await load(plain_url, "any", 200)
    loads = [
        ("bare aiohttp handler", floor),
        ("bare insert, without HTTP", await bare_inserts(database)),
        ("signed push, deployed", taken := await load(hook["url"], hook["secret"], 202)),
        ("wrong signature", await load(hook["url"], "wrong", 401)),
    ]
    await plain.cleanup()
    await runner.cleanup()
    await platform.close()
    show(TITLES, [row(what, it, floor) for what, it in loads])
    rate = Target(
        what="signed push, deployed", unit="requests/s", measured=taken.rate,
        at_least=5 * _SEED_RATE,
    )  # fmt: skip
    return judge([rate, Target(what="its p99", unit="ms", measured=taken.p99, at_most=20)])


def main() -> int:
    with running_postgres() as server, tempfile.TemporaryDirectory() as folder:
        return asyncio.run(run(f"{server.url}/postgres", Path(folder)))


if __name__ == "__main__":
    sys.exit(main())
