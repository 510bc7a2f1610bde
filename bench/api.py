"""`GET /api/v1/services` beside a bare aiohttp handler, at 32 connections."""

from __future__ import annotations

import asyncio
import sys
import tempfile
from functools import partial
from pathlib import Path

import aiohttp

from bench._load import TITLES, measure, ring, row, serve, serve_bare
from bench.tables import Target, judge, show
from helvetia.cli.local_operator import local_token
from helvetia.kernel import accounts
from helvetia.kernel.http.app import make_app, make_runner
from helvetia.kernel.platform import Platform
from helvetia.kernel.settings import Settings
from helvetia.plugins.api import services
from helvetia.plugins.api.inputs import NewService

CONNECTIONS = 32
SECONDS = 4.0


async def get(client: aiohttp.ClientSession, url: str, headers: dict[str, str]) -> None:
    async with client.get(url, headers=headers) as answer:
        assert answer.status == 200, await answer.text()
        await answer.read()


async def main() -> int:
    load = partial(measure, get, connections=CONNECTIONS, seconds=SECONDS)
    with tempfile.TemporaryDirectory() as folder:
        platform = Platform(Settings(Path(folder), {}))
        await platform.open()
        token = await local_token()
        team = await accounts.ensure_operator_team()
        runner, url = await serve(make_runner(make_app(platform, ring)))
        plain, plain_url = await serve_bare()
        headers = {"Authorization": f"Bearer {token}"}
        listing = f"{url}/api/v1/services"

        async def create(name: str) -> None:
            new = NewService(name=name, source="https://example.com/x.git")
            await services.create(platform, new, team_id=team.id, actor="", trusted=False)

        floor = await load(plain_url, {})
        loads = [("bare aiohttp handler", floor), ("healthz", await load(f"{url}/healthz", {}))]
        await create("only")
        loads.append(("services, 1", await load(listing, headers)))
        for number in range(999):
            await create(f"s{number}")
        loads.append(("services, 1,000 (page of 50)", await load(listing, headers)))
        loads.append(("services, 1,000 (page of 100)", await load(f"{listing}?limit=100", headers)))
        await plain.cleanup()
        await runner.cleanup()
        await platform.close()
    show(TITLES, [row(what, it, floor) for what, it in loads])
    found = dict(loads)
    one, many = found["services, 1"], found["services, 1,000 (page of 50)"]
    return judge(
        [
            Target(what="services, 1", unit="requests/s", measured=one.rate, at_least=800),
            Target(what="services, 1, CPU each", unit="ms", measured=one.cpu, at_most=1),
            Target(what="services, 1,000, CPU each", unit="ms", measured=many.cpu, at_most=1),
        ]
    )


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
