"""Variables that all services of a team share: each service has them among its own.

So they are versioned, frozen in releases and masked as these are. What a service sets itself wins,
and is left alone.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from tortoise.transactions import in_transaction

from helvetia.kernel import environment, events
from helvetia.kernel.errors import InvalidInput
from helvetia.kernel.models import Deployment, Desired, Scope, Service, Team, Trigger, utcnow
from helvetia.kernel.pipeline.queue import hold
from helvetia.kernel.secrets import Vault

from .models import SharedPlacement, SharedVariable


async def change(
    team: Team,
    vault: Vault,
    *,
    set: Mapping[str, str],
    unset: Iterable[str],
    scopes: Mapping[str, Collection[Scope]],
    actor: str,
) -> None:
    """Set and unset variables of a team, in all its services, all or nothing.

    Raises:
        InvalidInput: a name or value is not allowed, or a name is not set.
    """
    environment.check(set)
    gone = list(unset)
    async with in_transaction():
        # Locked: a service that is made meanwhile gets what was there before, or what is now.
        await Team.filter(id=team.id).update(name=team.name)
        present = {row.name: row for row in await SharedVariable.filter(team_id=team.id)}
        for name in gone:
            if name not in present or name in set:
                raise InvalidInput(f"environment.{name}", "is not set")
        for name in scopes:
            if name not in set and (name not in present or name in gone):
                raise InvalidInput(f"scopes.{name}", "is not set")
        await SharedVariable.filter(team_id=team.id, name__in=gone).delete()
        for name in {**set, **scopes}:
            row = present.get(name) or SharedVariable(team_id=team.id, name=name)
            if name in set:
                row.created_at = utcnow()
                row.value = vault.encrypt(set[name], place=_place(team.id, name))
            kept = row.scopes.split() if name in present else environment.DEFAULT_SCOPES
            row.scopes = " ".join(one for one in Scope if one in scopes.get(name, kept))
            await row.save()
        await events.record(
            "team.environment-changed",
            actor=actor,
            team_id=team.id,
            set=", ".join(sorted(set)),
            unset=", ".join(sorted(gone)),
            scopes=", ".join(sorted(scopes)),
        )
        rows = {row.name: row for row in await SharedVariable.filter(team_id=team.id)}
        changed = [rows[name] for name in rows if name in set or name in scopes]
        for service in await _services_of(team):
            await _place_in(service, vault, changed, gone, actor=actor)


async def give(service: Service, vault: Vault, *, actor: str) -> None:
    """Give a new service what its team shares; in the transaction that makes it."""
    rows = await SharedVariable.filter(team_id=service.team_id).order_by("name")
    await _place_in(service, vault, rows, [], actor=actor)


async def names_in(service_id: str) -> dict[str, int]:
    """Return the shared variables that were put into a service, with the version of each."""
    rows = await SharedPlacement.filter(service_id=service_id)
    return {row.name: row.version for row in rows}


async def _services_of(team: Team) -> list[Service]:
    """Return the services that share; previews have what theirs has for previews."""
    of_previews = Deployment.filter(trigger=Trigger.PREVIEW, service__team_id=team.id).distinct()
    previews = [str(id) for id in await of_previews.values_list("service_id", flat=True)]
    services = Service.filter(team_id=team.id).exclude(desired=Desired.DELETED)
    return [one for one in await services.order_by("id") if one.id not in previews]


async def _place_in(
    service: Service,
    vault: Vault,
    changed: Iterable[SharedVariable],
    gone: Collection[str],
    *,
    actor: str,
) -> None:
    held = await hold(service.id)
    present = await environment.current(held.id, held.environment_version)
    placed = await names_in(held.id)
    own = {name for name, row in present.items() if placed.get(name) != row.version}
    wanted = [row for row in changed if row.name not in own]
    removed = [name for name in gone if name in present and name not in own]
    if not wanted and not removed:
        return
    version = await environment.change(
        held,
        vault,
        set={row.name: vault.decrypt(row.value, place=_place(row.team_id, row.name))
             for row in wanted},
        unset=removed,
        scopes={row.name: [Scope(one) for one in row.scopes.split()] for row in wanted},
        actor=actor,
    )  # fmt: skip
    names = [row.name for row in wanted]
    await SharedPlacement.filter(service_id=held.id, name__in=[*names, *removed]).delete()
    await SharedPlacement.bulk_create(
        [SharedPlacement(service_id=held.id, name=name, version=version) for name in names]
    )


def _place(team_id: str, name: str) -> str:
    return SharedVariable.sealed_places["value"].format(team_id=team_id, name=name)
