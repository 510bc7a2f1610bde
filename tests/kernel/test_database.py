from __future__ import annotations

import asyncio
import random
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tortoise.exceptions import IntegrityError
from tortoise.migrations.api import migrate
from tortoise.transactions import in_transaction

from helvetia.kernel.database import Database
from helvetia.kernel.database.rows import fetch
from helvetia.kernel.domains import hostnames
from helvetia.kernel.errors import SettingsError
from helvetia.kernel.models import Domain, Service, Team, utcnow


async def test_migrating_twice_and_from_two_processes_at_once(database_url: str) -> None:
    await asyncio.gather(*(_migrate_in_process(database_url) for _ in range(2)))
    database = Database(database_url)
    await database.migrate()
    await database.open()
    assert await Service.all().count() == 0
    await database.close()


async def _migrate_in_process(url: str) -> None:
    code = (
        "import asyncio, sys; from helvetia.kernel.database import Database;"
        "asyncio.run(Database(sys.argv[1]).migrate())"
    )
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, url, stderr=asyncio.subprocess.PIPE
    )
    _, errors = await process.communicate()
    assert process.returncode == 0, errors.decode()


async def test_the_source_of_no_model_is_read(tmp_path: Path) -> None:
    code = (
        "import asyncio, inspect, sys; import tortoise.models as models; read = [];"
        "inspect.getsource = lambda what: read.append(what) or '';"
        "from helvetia.cli.server import Server; from helvetia.kernel.database import Database;"
        "asyncio.run(Database(sys.argv[1]).migrate()); print(read)"
    )
    url = f"sqlite:///{tmp_path}/new.sqlite3"
    told = await asyncio.to_thread(subprocess.check_output, [sys.executable, "-c", code, url])
    assert told == b"[]\n"


async def test_the_models_need_no_migration_that_is_not_written(database: Database) -> None:
    from tortoise.context import get_current_context
    from tortoise.migrations.autodetector import MigrationAutodetector

    context = get_current_context()
    assert context is not None
    assert context.apps is not None
    apps = database._config()["apps"]
    assert await MigrationAutodetector(context.apps, apps).changes() == []


async def test_a_cancelled_transaction_neither_wedges_nor_halves(database: Database) -> None:
    team = await Team.create(name="t")
    chance = random.Random(7)

    async def unit(number: int) -> None:
        async with in_transaction():
            await Service.create(team=team, name=f"a{number}", source_url="x")
            await Service.create(team=team, name=f"b{number}", source_url="x")

    for number in range(150):
        task = asyncio.create_task(unit(number))
        for _ in range(chance.randrange(12)):
            await asyncio.sleep(0)
        if chance.random() < 0.5:
            await asyncio.sleep(chance.random() * 0.003)
        task.cancel()
        await asyncio.wait([task])
        async with asyncio.timeout(5):
            pair = await Service.filter(name__in=[f"a{number}", f"b{number}"]).count()
        assert pair in (0, 2)


_NAMES = 'SELECT "name" FROM "team" ORDER BY "name"'


async def test_small_queries_see_what_is_committed_and_wait_for_no_transaction(
    database: Database,
) -> None:
    await Team.create(name="a")
    begun, go = asyncio.Event(), asyncio.Event()

    async def slow_transaction() -> list[dict[str, str]]:
        async with in_transaction():
            await Team.create(name="b")
            begun.set()
            await go.wait()
            return await fetch(_NAMES)

    writing = asyncio.create_task(slow_transaction())
    await begun.wait()
    async with asyncio.timeout(5):
        assert await fetch(_NAMES) == [{"name": "a"}]
    go.set()
    assert await writing == [{"name": "a"}, {"name": "b"}]  # a transaction sees its own writes
    assert await fetch(f"{_NAMES} LIMIT 1 OFFSET 1") == [{"name": "b"}]
    assert await fetch('SELECT "name" FROM "team" WHERE "name" = ?', "b' OR 1=1") == []


async def test_small_queries_get_through_while_the_file_is_locked(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'locked.db'}")
    await database.migrate()
    await database.open()
    await Team.create(name="a")
    other = sqlite3.connect(tmp_path / "locked.db", isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")  # a writer of a log keeps no reader out
    assert await fetch(_NAMES) == [{"name": "a"}]
    other.execute("ROLLBACK")
    other.close()
    await database.close()
    await database.open()
    assert await fetch(_NAMES) == [{"name": "a"}]
    await database.close()


async def test_small_queries_are_answered_anew_after_each_commit(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'kept.db'}")
    await database.migrate()
    await database.open()
    team = await Team.create(name="a")
    before = await fetch(_NAMES)
    assert await fetch(_NAMES) is before
    assert await fetch(_NAMES + " LIMIT ?", 0) == []  # another question
    other = sqlite3.connect(tmp_path / "kept.db", isolation_level=None)
    for connection_of in ("another process", "this one"):
        if connection_of == "this one":
            await Team.filter(id=team.id).update(name=connection_of)
        else:
            other.execute('UPDATE "team" SET "name" = ?', [connection_of])
        assert await fetch(_NAMES) == [{"name": connection_of}]
    for number in range(200):  # what is kept has a bound
        assert await fetch(_NAMES + " LIMIT ?", number + 1) == [{"name": "this one"}]
    assert len(Team._meta.db._kept) <= 64
    other.close()
    await database.close()
    await database.open()
    assert await fetch(_NAMES) == [{"name": "this one"}]
    await database.close()


async def test_two_processes_write_at_once(database_url: str) -> None:
    database = Database(database_url)
    await database.migrate()
    await asyncio.gather(*(_count_up(database_url) for _ in range(2)))
    await database.open()
    assert (await Team.get(name="counter")).name == "counter"
    assert await Service.all().count() == 60
    await database.close()


async def _count_up(url: str) -> None:
    code = """
import asyncio, os, sys
from tortoise.transactions import in_transaction
from helvetia.kernel.database import Database
from helvetia.kernel.models import Service, Team
async def main():
    database = Database(sys.argv[1]); await database.open()
    for n in range(30):
        async with in_transaction():
            team, _ = await Team.get_or_create(name="counter")
            count = await Service.all().count()
            await Service.create(team=team, name=f"s{os.getpid()}-{n}", source_url=str(count))
    await database.close()
asyncio.run(main())
"""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, url, stderr=asyncio.subprocess.PIPE
    )
    _, errors = await process.communicate()
    if b"IntegrityError" in errors:
        # Both made the team at once on PostgreSQL; the loser's transaction was undone: again.
        await _count_up(url)
        return
    assert process.returncode == 0, errors.decode()


def test_an_unknown_database_is_refused() -> None:
    with pytest.raises(SettingsError, match="DATABASE_URL"):
        Database("mysql://x/y")


async def test_deleting_a_service_takes_its_rows_along(database: Database) -> None:
    from helvetia.kernel.models import Deployment, StageRun, Trigger

    team = await Team.create(name="t")
    service = await Service.create(team=team, name="web", source_url="x")
    deployment = await Deployment.create(
        service=service, number=1, trigger=Trigger.MANUAL, source_url="x"
    )
    await StageRun.create(deployment=deployment, position=0, name="fetch")
    await service.delete()
    assert await StageRun.all().count() == 0


_NAMES_OF_MIGRATIONS = 'SELECT "name" FROM "tortoise_migrations" WHERE "name" = ?'


async def test_opening_migrates_what_is_behind_and_nothing_else(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = Database(database_url)
    with monkeypatch.context() as patch:
        patch.setattr("tortoise.migrations.api.migrate", _only_to_the_second)
        await database.migrate()

    await database.open_migrated()
    assert await fetch(_NAMES_OF_MIGRATIONS, "0003_verified_domains")
    await database.close()

    monkeypatch.delattr(Database, "migrate")
    await database.open_migrated()
    assert await Service.all().count() == 0
    await database.close()


async def _only_to_the_second(config: Any) -> None:
    await migrate(config=config, target="kernel.0002_workers")


async def test_hostnames_of_before_they_were_proved_stay_routed(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = Database(database_url)
    with monkeypatch.context() as patch:
        patch.setattr("tortoise.migrations.api.migrate", _only_to_the_second)
        await database.migrate()
    await database.open()
    team = await Team.create(name="t")
    services = [await Service.create(team=team, name=name, source_url="x") for name in "ab"]
    for number, service in enumerate(services):
        await Service.raw(
            'INSERT INTO "domain" ("id", "created_at", "service_id", "hostname") VALUES'
            f" ('{number}', '2026-01-01 00:00:00+00:00', '{service.id}', '{number}.example.com')"
        )
    await database.close()

    await database.migrate()
    await database.open()
    assert await Service.all().count() == 2
    for number, service in enumerate(services):
        assert await hostnames(service, "d") == (f"{service.name}.d", f"{number}.example.com")
    claim = {"service_id": services[0].id, "hostname": "1.example.com"}
    pending = await Domain.create(**claim)
    with pytest.raises(IntegrityError):
        await Domain.filter(id=pending.id).update(verified_at=utcnow())
    with pytest.raises(IntegrityError):
        await Domain.create(**claim)
    await database.close()
