"""`helvetia keys` beside a platform that runs: nothing is lost, whatever interrupts it."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import subprocess
import sys
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from http_support import World, make_service

from helvetia import SourceAddress
from helvetia.cli.rotating import Rotated, forget, rotate
from helvetia.kernel import environment
from helvetia.kernel.errors import HelvetiaError, SettingsError
from helvetia.kernel.models import EnvironmentVariable, Team
from helvetia.kernel.secrets import open_vault
from helvetia.kernel.settings import Settings
from helvetia.plugins.api import shared
from helvetia.plugins.api.models import SharedVariable
from helvetia.plugins.auth.github import grants
from helvetia.plugins.auth.github.models import Grant
from helvetia.plugins.sources.git.credentials import keeping
from helvetia.plugins.sources.git.credentials.shapes import NewCredentials
from helvetia.plugins.webhooks.models import Webhook

Act = Callable[[Settings], Coroutine[Any, Any, Rotated]]
VALUE = {"A": "first", "B": "second"}


def command(world: World, *words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "helvetia.cli", "keys", *words],
        env={**os.environ, "HELVETIA_HOME": str(world.platform.home)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


async def keys(world: World, act: Act) -> Rotated:
    """Do what the command does, on a platform of its own beside the one that runs."""
    with ThreadPoolExecutor(1) as thread:
        done = thread.submit(lambda: asyncio.run(act(Settings(world.platform.home, {}))))
        return await asyncio.wrap_future(done)


def key_lines(world: World) -> list[str]:
    return (world.platform.home / "secret.key").read_text().split()


async def populate(world: World) -> str:
    service = await make_service()
    vault = world.platform.vault
    await environment.change(service, vault, set=VALUE)
    sealed = vault.encrypt("hook", place=f"webhook:{service.id}")
    await Webhook.create(service_id=service.id, secret=sealed, deploy_digest="d")
    await grants.keep(
        world.platform, "user1", subject="7", login="ada", token="gho_secret", scopes=["repo"]
    )
    return service.id


async def check(world: World, service_id: str) -> None:
    """All is readable: by the process that runs, and by one that starts now."""
    for vault in (world.platform.vault, open_vault(world.platform.home)):
        assert await environment.values(service_id, 1, vault) == VALUE
        hook = await Webhook.get(service_id=service_id)
        assert vault.decrypt(hook.secret, place=f"webhook:{service_id}") == "hook"
    assert await grants.user_token(world.platform, "user1") == "gho_secret"


async def test_everything_gets_the_new_key_while_the_platform_runs(world: World) -> None:
    service_id = await populate(world)
    (old,) = key_lines(world)
    before = (await Grant.get()).token
    done = await keys(world, rotate)
    assert done.encrypted == {"environment_variable": 2, "webhook": 1, "auth_github_grant": 1}
    assert done.unreadable == []
    new, kept = key_lines(world)
    assert (kept, new != old) == (old, True)
    assert (world.platform.home / "secret.key").stat().st_mode & 0o777 == 0o600
    await check(world, service_id)
    assert (await Grant.get()).token.partition(":")[0] != before.partition(":")[0]
    # What the running process writes from now on has the new key too.
    assert world.platform.seal("x", place="p").startswith((await Grant.get()).token[:8])
    done = await keys(world, forget)
    assert key_lines(world) == [new]
    await check(world, service_id)


async def test_what_plugins_seal_gets_it_too(world: World) -> None:
    service, vault = await make_service(), world.platform.vault
    given = NewCredentials(username="ada", password="token")
    await keeping.give(world.platform, service, given, actor="ada")
    team = await Team.get(id=service.team_id)
    await shared.change(team, vault, set={"A": "shared"}, unset=[], scopes={}, actor="ada")
    done = await keys(world, rotate)
    assert done.encrypted == {
        "environment_variable": 1, "git_credentials": 1, "shared_variable": 1,
    }  # fmt: skip
    await keys(world, forget)
    address = SourceAddress(url=service.source_url, service_id=service.id)
    found = await keeping.with_credentials(world.platform, address)
    assert found.credentials == {"username": "ada", "password": "token"}
    row = await SharedVariable.get()
    assert vault.decrypt(row.value, place=f"shared/{team.id}/A") == "shared"


async def test_what_was_interrupted_is_gone_on_with(world: World) -> None:
    service_id = await populate(world)
    (old,) = key_lines(world)
    new = base64.b64encode(b"n" * 32).decode()
    (world.platform.home / "secret.key").write_text(f"{new}\n{old}\n")
    row = await Webhook.get()
    place = f"webhook:{service_id}"
    fresh = open_vault(world.platform.home)
    await Webhook.filter(id=row.id).update(
        secret=fresh.encrypt(fresh.decrypt(row.secret, place=place), place=place)
    )
    with pytest.raises(HelvetiaError, match="still need a former key"):
        await keys(world, forget)
    done = await keys(world, rotate)
    assert done.encrypted == {"environment_variable": 2, "auth_github_grant": 1}
    assert key_lines(world) == [new, old]
    await check(world, service_id)


@pytest.mark.long
async def test_killed_in_the_middle_of_it(world: World) -> None:
    service_id = await populate(world)
    vault = world.platform.vault
    many = 600
    await EnvironmentVariable.bulk_create(
        [
            EnvironmentVariable(
                service_id=service_id,
                name=f"N{number}",
                value=vault.encrypt(str(number), place=f"environment/{service_id}/N{number}"),
                version=1,
            )
            for number in range(many)
        ]
    )
    first = (await Grant.get()).token.partition(":")[0]
    old = EnvironmentVariable.filter(value__startswith=f"{first}:")
    process = command(world, "rotate")
    async with asyncio.timeout(120):
        while await old.count() == many + len(VALUE):
            assert process.poll() is None
            await asyncio.sleep(0.01)
    process.kill()
    await asyncio.to_thread(process.wait)
    left = await old.count()
    assert 0 < left < many + len(VALUE)
    values = await environment.values(service_id, 1, vault)
    assert values == VALUE | {f"N{number}": str(number) for number in range(many)}
    lines = key_lines(world)
    out, _ = await asyncio.to_thread(command(world, "rotate", "--json").communicate)
    assert json.loads(out)["encrypted"]["environment_variable"] == left
    assert key_lines(world) == lines
    assert await old.count() == 0
    assert await environment.values(service_id, 1, open_vault(world.platform.home)) == values


async def test_keys_of_the_environment_are_changed_by_a_person(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await populate(world)
    (old,) = key_lines(world)
    new = base64.b64encode(b"n" * 32).decode()
    monkeypatch.setenv("HELVETIA_SECRET_KEY", old)
    with pytest.raises(SettingsError, match="are in HELVETIA_SECRET_KEY") as told:
        await keys(world, rotate)
    assert "before the present one" in told.value.hint
    monkeypatch.setenv("HELVETIA_SECRET_KEY", f"{new},{old}")
    done = await keys(world, rotate)
    assert sum(done.encrypted.values()) == 4
    assert key_lines(world) == [old]


async def test_what_no_key_opens_is_told_and_stays(world: World) -> None:
    await populate(world)
    await Grant.all().update(token="00000000:AAAA")
    done = await keys(world, rotate)
    assert done.unreadable == ["auth-github/7"]
    assert (await Grant.get()).token == "00000000:AAAA"
    assert len(key_lines(world)) == 2


def test_a_file_that_is_away_takes_no_key_from_who_runs(tmp_path: Path) -> None:
    vault = open_vault(tmp_path)
    sealed = vault.encrypt("x", place="p")
    (tmp_path / "secret.key").unlink()
    assert vault.decrypt(sealed, place="p") == "x"
