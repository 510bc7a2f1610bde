"""Every page of the dashboard with 1,000 services and 100,000 deployments in PostgreSQL.

Run: python -m bench.pages

Half of the deployments are of one service, whose pages are asked for. What a page takes is the
time of the server alone, as it measures it itself.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import tempfile
import time
from pathlib import Path

import aiohttp
from tortoise import Model, connections

from bench._load import ring, serve
from bench.api import get
from bench.tables import Target, judge, show
from helvetia.cli.local_operator import local_token
from helvetia.kernel import accounts
from helvetia.kernel.http.app import make_app, make_runner
from helvetia.kernel.http.context import CONTEXT
from helvetia.kernel.models import Deployment, Event, Instance, Release, Service, StageRun
from helvetia.kernel.platform import Platform
from helvetia.kernel.settings import Settings
from tests.postgres_server import running_postgres
from tests.web.world import add_deployment, add_log, add_service

SERVICES = 1000
DEPLOYMENTS = 100_000
LINES = 2000
ASKED = 9
_LARGE = "large"
_OF_SERVICE = (
    "", "/deployments", "/logs", "/metrics", "/environment", "/domains", "/releases",
    "/rollback?release=2", "/previews", "/deliveries", "/settings", "/credentials", "/shell",
    "/danger",
)  # fmt: skip
_OTHERS = (
    "/new", "/new?step=details&source=x", "/account", "/team", "/team/default/variables",
    "/admin/plugins", "/admin/workers", "/admin/audit",
)  # fmt: skip


async def many(like: Model, source: str, **differs: str) -> None:
    """Insert rows like one there is, one for each row of `source`, but for some columns."""
    meta = like._meta
    columns = list(meta.fields_db_projection.values())
    values = ", ".join(differs.get(name, f'b."{name}"') for name in columns)
    names = ", ".join(f'"{name}"' for name in columns)
    await connections.get("postgres").execute_script(
        f'INSERT INTO "{meta.db_table}" ({names}) SELECT {values}'
        f" FROM \"{meta.db_table}\" b, ({source}) a WHERE b.id = '{like.pk}'"
    )


async def fill(platform: Platform) -> str:
    """Make everything; return the id of the deployment that has a log."""
    large = await add_service(_LARGE)
    await add_deployment(large)
    (deployment,), (release,) = await Deployment.all(), await Release.all()
    (event,), stages = await Event.all(), await StageRun.all()
    await add_log(
        platform,
        f"deployment:{deployment.id}",
        [("build", "stdout", f"line {number} of the build") for number in range(LINES)],
    )
    services = f"SELECT n FROM generate_series(1, {SERVICES - 1}) n"
    await many(large, services, id="md5('s' || n)::char(16)", name="'service-' || n")
    each = DEPLOYMENTS // 2 // (SERVICES - 1)
    numbers = f"""
      SELECT s.id AS service, n FROM service s,
      generate_series(CASE s.id WHEN '{large.id}' THEN 2 ELSE 1 END,
      CASE s.id WHEN '{large.id}' THEN {DEPLOYMENTS // 2} ELSE {each} END) n
    """
    at, made = "now() - (60000 - n) * interval '5 minutes'", "md5(service || n)::char(16)"
    await many(
        deployment, numbers,
        id=made, service_id="service", number="n", created_at=at, started_at=at, finished_at=at,
        release_id="md5('r' || service || n)::char(16)",
    )  # fmt: skip
    new = f"SELECT * FROM deployment WHERE id <> '{deployment.id}'"
    for stage in stages:
        id = f"md5(a.id || '{stage.name}')::char(16)"
        await many(stage, new, id=id, deployment_id="a.id")
    await many(
        release, new,
        id="a.release_id", service_id="a.service_id", number="a.number",
        deployment_id="a.id", created_at="a.created_at",
    )  # fmt: skip
    for kind in ("deployment.queued", "deployment.live"):
        await many(
            event, new,
            id=f"md5(a.id || '{kind}')::char(16)", kind=f"'{kind}'", service_id="a.service_id",
            deployment_id="a.id", created_at="a.created_at", delivered="true",
        )  # fmt: skip
    live = "SELECT release_id FROM deployment WHERE service_id = service.id ORDER BY number DESC"
    script = f"""
      UPDATE service SET live_release_id = ({live} LIMIT 1);
      ANALYZE;
    """
    await connections.get("postgres").execute_script(script)
    rows = await Service.all().values_list("id", "live_release_id")
    await Instance.bulk_create(
        [
            Instance(service_id=id, release_id=live, runtime="process", status="live")
            for id, live in rows
        ]
    )
    return deployment.id


async def run(database: str, folder: Path) -> int:
    platform = Platform(Settings(folder, {"HELVETIA_DATABASE_URL": database}))
    await platform.open()
    token = await local_token()
    await accounts.ensure_operator_team()
    logged = await fill(platform)
    counted = await Service.all().count(), await Deployment.all().count()
    print(f"{counted[0]:,} services, {counted[1]:,} deployments", flush=True)
    app = make_app(platform, ring)
    times: list[float] = []
    app[CONTEXT].observers.append(lambda _, route, status, seconds: times.append(seconds or 0.0))
    runner, url = await serve(make_runner(app))
    paths = [
        "/", *(f"/services/{_LARGE}{tab}" for tab in _OF_SERVICE), f"/deployments/{logged}",
        *_OTHERS,
    ]  # fmt: skip
    rows: list[list[object]] = []
    async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {token}"}) as client:
        for path in paths:
            await get(client, f"{url}{path}", {})  # what is loaded and compiled once
            times.clear()
            before = time.process_time()
            for _ in range(ASKED):
                await get(client, f"{url}{path}", {})
            cpu = 1000 * (time.process_time() - before) / ASKED
            found = [1000 * seconds for seconds in times]
            rows.append([path, statistics.median(found), min(found), cpu])
    await runner.cleanup()
    await platform.close()
    show(("page", "median ms", "least ms", "CPU ms, with the client's"), rows)
    slowest = max(rows, key=lambda row: float(str(row[1])))
    what, measured = f"the slowest page, {slowest[0]}", float(str(slowest[1]))
    return judge([Target(what=what, unit="ms", measured=measured, at_most=50)])


def main() -> int:
    with running_postgres() as server, tempfile.TemporaryDirectory() as folder:
        return asyncio.run(run(f"{server.url}/postgres", Path(folder)))


if __name__ == "__main__":
    sys.exit(main())
