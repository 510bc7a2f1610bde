"""A disk that takes nothing more is told as that, wherever it is met."""

from __future__ import annotations

import errno
import resource
import signal
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from tortoise.exceptions import IntegrityError, OperationalError

from helvetia.cli.failing import as_helvetia_error
from helvetia.cli.problems import to_error
from helvetia.kernel.disk import told
from helvetia.kernel.errors import HelvetiaError, NoStorage, PluginError
from helvetia.kernel.http.problems import to_problem

FULL = "there is no space left on the disk"


@pytest.fixture
def small(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    """A real database that has no room for a second page."""
    database = sqlite3.connect(tmp_path / "small.db", isolation_level=None)
    database.execute("CREATE TABLE kept (text)")
    yield database
    database.close()


def failing(database: sqlite3.Connection, *statements: str) -> OperationalError:
    """Return what the ORM makes of what the driver says."""
    *before, last = statements
    for statement in before:
        database.execute(statement)
    with pytest.raises(sqlite3.OperationalError) as caught:
        database.execute(last)
    return OperationalError(caught.value)


WRITE = "INSERT INTO kept VALUES (zeroblob(1000000))"


def test_a_full_database_is_told(small: sqlite3.Connection) -> None:
    error = told(failing(small, "PRAGMA max_page_count = 3", WRITE))
    assert isinstance(error, NoStorage)
    assert error.message == f"{FULL}: the database"
    assert error.hint == "make room there, then try again"


def test_a_database_that_can_only_be_read_is_told(small: sqlite3.Connection) -> None:
    error = told(failing(small, "PRAGMA query_only = 1", WRITE))
    assert isinstance(error, NoStorage)
    assert error.message == "the disk can only be read: the database"
    assert error.hint.startswith("let the platform write there")


def test_a_disk_that_fails_is_told(small: sqlite3.Connection) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, before[1]))
    try:
        problem = failing(small, WRITE)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)
    assert str(problem) == "disk I/O error"
    assert isinstance(told(problem), NoStorage)


@pytest.mark.parametrize(
    ("raised", "words"),
    [
        (OSError(errno.ENOSPC, "no", "/d/f"), f"{FULL}: /d/f"),
        (OSError(errno.EDQUOT, "no", "/d/f"), "the quota of the disk is used up: /d/f"),
        (OSError(errno.EROFS, "no", "/d/f"), "the disk can only be read: /d/f"),
        (OSError(errno.ENOSPC, "no"), FULL),
        (asyncpg.DiskFullError("could not extend file"), f"{FULL}: the database"),
        (asyncpg.ReadOnlySQLTransactionError("x"), "the disk can only be read: the database"),
        (asyncpg.PostgresIOError("x"), "the disk cannot be read or written: the database"),
    ],
)
def test_what_is_raised_is_told(raised: Exception, words: str) -> None:
    by_plugin = PluginError("p", "broke")
    by_plugin.__cause__ = raised
    for problem in (raised, by_plugin, OperationalError(raised)):
        error = told(problem)
        assert isinstance(error, NoStorage)
        assert error.message == words


@pytest.mark.parametrize(
    "raised",
    [
        OSError(errno.EACCES, "no", "/d/f"),
        OSError("nothing is known"),
        OperationalError("no such table"),
        OperationalError(sqlite3.OperationalError("no such table: x")),
        IntegrityError(asyncpg.UniqueViolationError("x")),
        PluginError("p", "broke"),
        RuntimeError(),
    ],
)
def test_what_is_something_else_stays_as_it_is(raised: Exception) -> None:
    assert told(raised) is raised


def test_the_api_and_the_command_line_say_it() -> None:
    raised = OSError(errno.ENOSPC, "no", "/private/place")
    problem = to_problem(raised, "1")
    assert (problem.status, problem.code) == (507, "no-storage")
    assert (problem.title, problem.detail) == ("Insufficient Storage", FULL)
    shown: dict[str, Any] = problem.model_dump()
    assert "private" not in str(shown), "a stranger may be asking"
    reported: HelvetiaError = to_error(507, shown)
    assert (type(reported), reported.message, reported.hint) == (NoStorage, FULL, problem.hint)
    started = as_helvetia_error(raised)
    assert (started.exit_code, started.message) == (1, f"{FULL}: /private/place")
