"""Encrypt all stored secrets with a new key, whatever interrupts it.

The key file is the first thing that changes, and processes that run read it at once. Which row
has which key stands in the row: that is all that a rotation needs to know to be gone on with.
"""

from __future__ import annotations

import base64
import os
import secrets
import string
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tortoise import Tortoise
from tortoise.models import Model

from helvetia.kernel.errors import HelvetiaError, SettingsError
from helvetia.kernel.locks import file_lock
from helvetia.kernel.platform import Platform
from helvetia.kernel.secrets import Vault, key_file
from helvetia.kernel.settings import Settings

_VARIABLE = "HELVETIA_SECRET_KEY"
_ROWS_AT_ONCE = 200
_MOST_ROUNDS = 5


@dataclass(slots=True)
class Rotated:
    """What was done, and how many secrets of which table it took.

    Attributes:
        unreadable: where something stands that no key here opens.
    """

    what: str = ""
    encrypted: dict[str, int] = field(default_factory=dict)
    unreadable: list[str] = field(default_factory=list)


async def rotate(settings: Settings) -> Rotated:
    """Make a new key, unless a rotation is under way, and encrypt everything with the first.

    Raises:
        SettingsError: the keys are in the environment, where only a person can put one more.
    """
    async with _opened(settings) as platform:
        vault = platform.vault
        is_under_way = await _with_older_keys(vault) > 0
        done = Rotated("the rotation that was under way is finished")
        if os.environ.get(_VARIABLE):
            if not is_under_way:
                raise SettingsError(
                    f"the keys are in {_VARIABLE}, and all secrets have the first one",
                    hint="put a new key (32 random bytes in base64) and a comma before the present "
                    "one, for all processes; restart them; then run this again",
                )
            done.what = f"all secrets have the first key of {_VARIABLE}"
        elif not is_under_way:
            _write(settings.home, [_new_key(), *_lines(settings.home)])
            done.what = "there is a new key, and all secrets have it"
        # A process that reads the file a moment later may have written with the former key.
        for _ in range(_MOST_ROUNDS):
            if not await _encrypt_anew(vault, done):
                break
        if done.unreadable:
            done.what = "there is a new key, but not all secrets could be read"
        return done


async def forget(settings: Settings) -> Rotated:
    """Remove all keys but the first.

    Raises:
        SettingsError: the keys are in the environment.
        HelvetiaError: something still needs them.
    """
    if os.environ.get(_VARIABLE):
        raise SettingsError(f"the keys are in {_VARIABLE}", hint="take the former ones out there")
    async with _opened(settings) as platform:
        if count := await _with_older_keys(platform.vault):
            raise HelvetiaError(
                f"{count} secrets still need a former key", hint="run `helvetia keys rotate`"
            )
        first, *others = _lines(settings.home)
        _write(settings.home, [first])
        return Rotated(f"{len(others)} former keys are gone")


@asynccontextmanager
async def _opened(settings: Settings) -> AsyncIterator[Platform]:
    platform = Platform(settings)
    await platform.open()
    try:
        async with file_lock(settings.home / "secret.key.lock"):
            yield platform
    finally:
        await platform.close()


def _sealed() -> list[tuple[type[Model], str, str]]:
    """Return models, columns and places of all that is encrypted."""
    assert Tortoise.apps is not None
    return [
        (model, column, place)
        for model in Tortoise.apps.get_models_iterable()
        for column, place in getattr(model, "sealed_places", {}).items()
    ]


async def _rows(model: type[Model], column: str) -> AsyncIterator[Any]:
    """Go through the rows that have something in the column, some at a time."""
    last: Any = None
    while True:
        query = model.filter(**{f"{column}__isnull": False})
        if last is not None:
            query = query.filter(pk__gt=last)
        rows = await query.order_by(model._meta.pk_attr).limit(_ROWS_AT_ONCE)
        for row in rows:
            if getattr(row, column):
                yield row
        if len(rows) < _ROWS_AT_ONCE:
            return
        last = rows[-1].pk


def _is_current(vault: Vault, text: str) -> bool:
    return text.partition(":")[0] == next(iter(vault.signing_keys("")))


async def _with_older_keys(vault: Vault) -> int:
    _, *former = vault.signing_keys("")
    count = 0
    for model, column, _ in _sealed():
        async for row in _rows(model, column):
            count += getattr(row, column).partition(":")[0] in former
    return count


async def _encrypt_anew(vault: Vault, done: Rotated) -> int:
    """Encrypt what has another key than the first; return how much it was."""
    count = 0
    for model, column, pattern in _sealed():
        async for row in _rows(model, column):
            former, place = getattr(row, column), _place(row, pattern)
            if _is_current(vault, former) or place in done.unreadable:
                continue
            try:
                value = vault.decrypt(former, place=place)
            except HelvetiaError:
                done.unreadable.append(place)
                continue
            fresh = vault.encrypt(value, place=place)
            # Not if it was changed meanwhile: an old value must not come back.
            rows = model.filter(pk=row.pk, **{column: former})
            if await rows.update(**{column: fresh}):
                table = str(model._meta.db_table)
                done.encrypted[table] = done.encrypted.get(table, 0) + 1
            count += 1
    return count


def _place(row: Any, pattern: str) -> str:
    columns = [name for _, name, _, _ in string.Formatter().parse(pattern) if name]
    return pattern.format_map({name: getattr(row, name) for name in columns})


def _new_key() -> str:
    return base64.b64encode(secrets.token_bytes(32)).decode()


def _lines(home: Path) -> list[str]:
    return key_file(home).read_text().split()


def _write(home: Path, keys: list[str]) -> None:
    """Write the key file, whole or not at all."""
    path = key_file(home)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write("".join(f"{key}\n" for key in keys))
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    folder = os.open(home, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
