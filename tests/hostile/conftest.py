"""The API in this process, and what must be the same before and after an attack."""

from __future__ import annotations

import shutil
import sqlite3
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

# The API's own tests have the world to attack; their folder is no package.
sys.path.append(str(Path(__file__).parents[1] / "http"))

from http_support import World, make_home, make_service, open_platform, serve

CANARY = "canary-of-the-test"
_MOVES = {"file helvetia.db-wal", "file helvetia.db-shm"}


@pytest.fixture(scope="package")
def populated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with a team, its people and the service `web`, made once."""
    return make_home(tmp_path_factory.mktemp("hostile"), make_service)


@pytest.fixture(autouse=True)
def surroundings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Whatever runs `touch` in this folder or in $HOME is found."""
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    assert list(tmp_path.rglob(f"*{CANARY}*")) == []


@pytest.fixture
async def world(populated: Path, tmp_path: Path) -> AsyncIterator[World]:
    home = shutil.copytree(populated, tmp_path / "home")
    async with open_platform(home) as platform, serve(platform) as world:
        yield world


@pytest.fixture
def state(world: World) -> Callable[[], set[str]]:
    """Return what is kept: every row of the database, and the names of all files."""
    home = world.platform.home

    def look() -> set[str]:
        kept = {f"file {path.relative_to(home)}" for path in home.rglob("*") if path.is_file()}
        with sqlite3.connect(f"file:{home / 'helvetia.db'}?mode=ro", uri=True) as database:
            tables = database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
            # When a token was used last is meant to change.
            for (name,) in tables.fetchall():
                if name != "api_token":
                    rows = database.execute(f'SELECT * FROM "{name}"')
                    kept |= {f"{name} {row}" for row in rows}
        return kept - _MOVES

    return look
