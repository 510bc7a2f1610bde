from __future__ import annotations

import gc
import os
import signal
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from uuid import uuid4

import asyncpg
import pytest

from helvetia.kernel.database import Database
from tests.copies import copies as copies
from tests.docker_engine import docker_engine as docker_engine
from tests.known import known as known
from tests.postgres_server import running_postgres

# A shell has those that it starts in the background ignore Ctrl-C, and their children too.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# A version manager's `python3` is a script that starts four programs more, with every application,
# and builders ask each of its versions with every build: most of the work of all tests together.
_OTHERS = [
    folder for folder in os.environ["PATH"].split(os.pathsep) if not folder.endswith("pyenv/shims")
]
os.environ["PATH"] = os.pathsep.join([f"{sys.base_prefix}/bin", *_OTHERS])


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    """Import the tests undisturbed: Python 3.11 fails if what a finalizer logs is parsed meanwhile.

    See python/cpython#106905. What collecting made stays to the end and is never looked at again.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the long files, so that at the end no process waits for the one that has them."""
    items.sort(key=lambda item: "e2e" not in item.path.parts)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """Start a real PostgreSQL server in a temporary folder."""
    with running_postgres() as server:
        yield server.url


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
async def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database of each kind."""
    if request.param == "sqlite":
        return f"sqlite://{tmp_path / 'test.db'}"
    server: str = request.getfixturevalue("postgres_server")
    name = f"test_{uuid4().hex[:12]}"
    connection = await asyncpg.connect(f"{server}/postgres")
    try:
        await connection.execute(f'CREATE DATABASE "{name}"')
    finally:
        await connection.close()
    return f"{server}/{name}"


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """A migrated, open database of each kind."""
    database = Database(database_url)
    await database.migrate()
    await database.open()
    yield database
    await database.close()
