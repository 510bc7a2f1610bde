"""Queries of our own, for what is asked so often that building them by the ORM is the cost."""

from __future__ import annotations

from datetime import datetime
from functools import lru_cache
from itertools import count
from typing import Any

from helvetia.kernel.models import Fact

from .sqlite import Client


async def fetch(sql: str, *values: object) -> list[dict[str, Any]]:
    """Return the rows of a query that SQLite and PostgreSQL both understand.

    Times come as each database gives them: see `as_time`.

    Args:
        sql: text of the program, never of a person; each `?` takes one of the values.
    """
    client = Fact._meta.db
    if isinstance(client, Client):
        return await client.execute_small_query(sql, values)
    if client.capabilities.dialect == "postgres":
        sql = _numbered(sql)
    return await client.execute_query_dict(sql, list(values))


def as_time(value: str | datetime | None) -> datetime | None:
    """Return a time of a row; SQLite keeps times as text."""
    return datetime.fromisoformat(value) if isinstance(value, str) else value


@lru_cache(maxsize=64)
def _numbered(sql: str) -> str:
    first, *others = sql.split("?")
    return first + "".join(f"${number}{part}" for number, part in zip(count(1), others))
