"""Queries of our own, for what is asked so often that building them by the ORM is the cost."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from itertools import count
from operator import itemgetter
from typing import Any

from tortoise.fields import JSONField
from tortoise.models import Model

from helvetia.kernel.models import Fact

from .sqlite import Client


async def fetch(sql: str, *values: object, hold: bool = False) -> list[dict[str, Any]]:
    """Return the rows of a query that SQLite and PostgreSQL both understand.

    Times come as each database gives them: see `as_time`. The rows are for reading only: another
    caller may get the same. In a transaction it may also be a change.

    Args:
        sql: text of the program, never of a person; each `?` takes one of the values.
        values: for its places.
        hold: nobody else holds or changes the rows until the transaction ends. Readers, and rows
            that refer to them, need not wait.
    """
    client = Fact._meta.db
    if isinstance(client, Client):
        return await client.execute_small_query(sql, *values)
    if client.capabilities.dialect == "postgres":
        sql = _numbered(sql) + (" FOR NO KEY UPDATE" if hold else "")
    return await client.execute_query_dict(sql, list(values))


async def insert(model: type[Model], rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert rows of one table, whose values are known to be good; nothing is read back.

    Fields that are not given have their defaults.
    """
    if rows:
        client = Fact._meta.db
        sql, values = _insertion(model)
        if client.capabilities.dialect == "postgres":
            sql = _numbered(sql)
        await client.execute_many(sql, [values(row) for row in rows])


@lru_cache
def _insertion(model: type[Model]) -> tuple[str, Callable[[Mapping[str, Any]], list[Any]]]:
    meta, columns = model._meta, model._meta.fields_db_projection
    defaults = {name: meta.fields_map[name].default for name in columns}
    written = {name for name in columns if isinstance(meta.fields_map[name], JSONField)}
    defaults |= {name: json.dumps(defaults[name]()) for name in written if defaults[name]}
    made = [name for name, default in defaults.items() if callable(default)]

    def values(row: Mapping[str, Any]) -> list[Any]:
        full = {**defaults, **row}
        full |= {name: defaults[name]() for name in made if name not in row}
        full |= {name: json.dumps(row[name]) for name in written if name in row}
        return list(itemgetter(*columns)(full))

    names, places = '", "'.join(columns.values()), ", ".join("?" * len(columns))
    return f'INSERT INTO "{meta.db_table}" ("{names}") VALUES ({places})', values  # noqa: S608


def as_time(value: str | datetime | None) -> datetime | None:
    """Return a time of a row; SQLite keeps times as text."""
    return datetime.fromisoformat(value) if isinstance(value, str) else value


@lru_cache(maxsize=64)
def _numbered(sql: str) -> str:
    first, *others = sql.split("?")
    return first + "".join(f"${number}{part}" for number, part in zip(count(1), others))
