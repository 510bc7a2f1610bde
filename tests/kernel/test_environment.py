from __future__ import annotations

import pytest

from helvetia.kernel import environment
from helvetia.kernel.errors import HelvetiaError, InvalidInput
from helvetia.kernel.models import EnvironmentVariable, Event, Scope, Service
from helvetia.kernel.secrets import Vault

from .conftest import MakeService

VAULT = Vault([b"k" * 32])


async def test_each_version_keeps_its_values(make_service: MakeService) -> None:
    service = await make_service()
    first = await environment.change(service, VAULT, set={"A": "1", "B": "x"})
    second = await environment.change(service, VAULT, set={"A": "2"}, unset=["B"])
    assert await environment.values(service.id, first, VAULT) == {"A": "1", "B": "x"}
    assert await environment.values(service.id, second, VAULT) == {"A": "2"}
    assert list(await environment.current(service.id, second)) == ["A"]


async def test_no_value_is_stored_or_journalled_in_clear(make_service: MakeService) -> None:
    service = await make_service()
    await environment.change(service, VAULT, set={"A": "very-secret-value"})
    stored = await EnvironmentVariable.get(service_id=service.id)
    assert "very-secret" not in (stored.value or "")
    assert "very-secret" not in str((await Event.get(kind="environment.changed")).data)


@pytest.mark.parametrize(
    ("set_", "unset", "field"),
    [
        ({"PORT": "1"}, [], "environment.PORT"),
        ({"HELVETIA_X": "1"}, [], "environment.HELVETIA_X"),
        ({"GOOD": "1", "BAD": "a\0b"}, [], "environment.BAD"),
        ({"GOOD": "1"}, ["MISSING"], "environment.MISSING"),
    ],
)
async def test_a_refused_change_changes_nothing(
    make_service: MakeService, set_: dict[str, str], unset: list[str], field: str
) -> None:
    service = await make_service()
    with pytest.raises(InvalidInput) as caught:
        await environment.change(service, VAULT, set=set_, unset=unset)
    assert caught.value.field == field
    assert (await Service.get(id=service.id)).environment_version == 0
    assert await EnvironmentVariable.all().count() == 0


async def test_a_moved_value_is_not_decrypted(make_service: MakeService) -> None:
    one, two = await make_service("one"), await make_service("two")
    version = await environment.change(one, VAULT, set={"A": "secret"})
    await EnvironmentVariable.filter(service_id=one.id).update(service_id=two.id)
    with pytest.raises(HelvetiaError, match="moved"):
        await environment.values(two.id, version, VAULT)


async def test_a_variable_goes_where_its_scopes_say(make_service: MakeService) -> None:
    service = await make_service()
    first = await environment.change(
        service,
        VAULT,
        set={"BOTH": "1", "MIRROR": "2", "KEY": "3", "SHOWN": "4"},
        scopes={
            "MIRROR": [Scope.BUILD],
            "KEY": [Scope.RUN],
            "SHOWN": [Scope.RUN, Scope.PREVIEW],
        },
    )
    assert await _names(service, first) == {"BOTH", "MIRROR", "KEY", "SHOWN"}
    assert await _names(service, first, Scope.BUILD) == {"BOTH", "MIRROR"}
    assert await _names(service, first, Scope.RUN) == {"BOTH", "KEY", "SHOWN"}
    assert await _names(service, first, Scope.PREVIEW) == {"SHOWN"}
    assert await _names(service, first, Scope.PREVIEW, Scope.BUILD) == set()


async def test_scopes_stay_with_a_new_value_and_change_without_one(
    make_service: MakeService,
) -> None:
    service = await make_service()
    await environment.change(service, VAULT, set={"A": "1"}, scopes={"A": [Scope.RUN]})
    second = await environment.change(service, VAULT, set={"A": "2"})
    third = await environment.change(service, VAULT, set={}, scopes={"A": [Scope.BUILD]})
    assert await _names(service, second, Scope.BUILD) == set()
    assert await environment.values(service.id, third, VAULT, Scope.BUILD) == {"A": "2"}
    assert await environment.values(service.id, second, VAULT, Scope.RUN) == {"A": "2"}


@pytest.mark.parametrize(
    ("set_", "unset", "scopes"),
    [
        ({}, [], {"MISSING": [Scope.RUN]}),
        ({}, ["KEPT"], {"KEPT": [Scope.RUN]}),
    ],
)
async def test_scopes_that_make_no_sense_are_refused(
    make_service: MakeService,
    set_: dict[str, str],
    unset: list[str],
    scopes: dict[str, list[Scope]],
) -> None:
    service = await make_service()
    version = await environment.change(service, VAULT, set={"KEPT": "1"})
    with pytest.raises(InvalidInput):
        await environment.change(service, VAULT, set=set_, unset=unset, scopes=scopes)
    assert (await Service.get(id=service.id)).environment_version == version


async def _names(service: Service, version: int, *scopes: Scope) -> set[str]:
    return set(await environment.values(service.id, version, VAULT, *scopes))
