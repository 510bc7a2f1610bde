"""Environment variables of a service: encrypted, write-only, versioned."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from types import MappingProxyType

from tortoise.expressions import F
from tortoise.transactions import in_transaction

from . import events
from .errors import InvalidInput
from .models import EnvironmentVariable, Scope, Service
from .secrets import Vault

_RESERVED_PREFIX = "HELVETIA_"
_RESERVED = ("PORT", "HOST")
# Linux starts no program with a variable over 128 KiB.
_MAX_BYTES = 64 * 1024
DEFAULT_SCOPES = (Scope.BUILD, Scope.RUN)
"""What gets a variable of which nobody has said it."""


def _place(service_id: str, name: str) -> str:
    return EnvironmentVariable.sealed_places["value"].format(service_id=service_id, name=name)


async def change(
    service: Service,
    vault: Vault,
    *,
    set: Mapping[str, str],
    unset: Iterable[str] = (),
    scopes: Mapping[str, Collection[Scope]] = MappingProxyType({}),
    actor: str = "",
) -> int:
    """Set and unset variables, all or nothing; return the new version.

    Args:
        scopes: what gets a variable, by its name. One that is not named here keeps its scopes,
            or has `DEFAULT_SCOPES`; one that is named here alone keeps its value.

    Raises:
        InvalidInput: a name is reserved, a value holds NUL or is too large, a name to unset is
            not set.
    """
    unset = list(unset)
    check(set)
    async with in_transaction():
        await Service.filter(id=service.id).update(environment_version=F("environment_version") + 1)
        version = (await Service.get(id=service.id)).environment_version
        present = await current(service.id, version)
        for name in unset:
            if name not in present or name in set:
                raise InvalidInput(f"environment.{name}", "is not set")
        sealed: dict[str, str | None] = dict.fromkeys(unset)
        for name in scopes:
            if name not in set and (name not in present or name in sealed):
                raise InvalidInput(f"scopes.{name}", "is not set")
            sealed[name] = present[name].value if name in present else None
        for name, value in set.items():
            sealed[name] = vault.encrypt(value, place=_place(service.id, name))
        for name, stored in sealed.items():
            kept = present[name].scopes.split() if name in present else DEFAULT_SCOPES
            wanted = _written(scopes.get(name, kept))
            await EnvironmentVariable.create(
                service_id=service.id, name=name, value=stored, version=version, scopes=wanted
            )
        await events.record(
            "environment.changed",
            actor=actor,
            team_id=service.team_id,
            service_id=service.id,
            set=", ".join(sorted(set)),
            unset=", ".join(sorted(unset)),
            scopes="; ".join(f"{name}: {_written(scopes[name])}" for name in sorted(scopes)),
            version=str(version),
        )
    return version


def check(set: Mapping[str, str]) -> None:
    """Refuse variables that no service can have.

    Raises:
        InvalidInput: a name is reserved, a value holds NUL or is too large.
    """
    for name, value in set.items():
        if name in _RESERVED or name.startswith(_RESERVED_PREFIX):
            raise InvalidInput(f"environment.{name}", "is set by the platform")
        if "\0" in value:
            raise InvalidInput(f"environment.{name}", "a value cannot hold NUL")
        if len(value.encode("utf-8", "replace")) > _MAX_BYTES:
            raise InvalidInput(f"environment.{name}", "is larger than 64 KiB")


async def current(service_id: str, version: int) -> dict[str, EnvironmentVariable]:
    """Return the variables in force at a version, by name, still encrypted."""
    rows = await EnvironmentVariable.filter(service_id=service_id, version__lte=version).order_by(
        "version"
    )
    newest = {row.name: row for row in rows}
    return {name: row for name, row in sorted(newest.items()) if row.value is not None}


async def values(service_id: str, version: int, vault: Vault, *scopes: Scope) -> dict[str, str]:
    """Return the decrypted variables in force at a version, those that have all the scopes."""
    return {
        name: vault.decrypt(row.value or "", place=_place(service_id, name))
        for name, row in (await current(service_id, version)).items()
        if all(scope in row.scopes.split() for scope in scopes)
    }


def _written(scopes: Collection[str]) -> str:
    return " ".join(scope for scope in Scope if scope in scopes)
