"""Credentials of a repository: given once, used for it alone, and told to nobody."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import dsa, ed25519, rsa
from tortoise.transactions import in_transaction

from helvetia import SourceAddress, SourceError
from helvetia.kernel import events
from helvetia.kernel.models import Event, Membership, Role, Service, Team
from helvetia.plugins.sources.git.credentials import keeping
from helvetia.plugins.sources.git.credentials.models import Credentials
from helvetia.testing import Lines
from tests.github_stand_in.world import World, open_github_world

TOKEN = "s3cr3t-tok3n-0123456789"
GIVE = "/api/v1/services/site/credentials"


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    loose = {
        "HELVETIA_GIT_PROTOCOLS": "https,http,ssh",
        "HELVETIA_GIT_ALLOW_PRIVATE_HOSTS": "true",
    }
    async with open_github_world(tmp_path, light="yes", **loose) as made:
        await made.person("ada")
        await made.person("mel", Role.MEMBER)
        yield made


async def create(world: World, source: str) -> Service:
    body = {"name": "site", "source": source}
    status, answer = await world.call("POST", "/api/v1/services", body)
    assert status == 201, answer
    return await Service.get(name="site")


def source_of(world: World) -> Any:
    return world.platform.providers.sources.get("git").provider


def place(service: Service, url: str) -> SourceAddress:
    return SourceAddress(url=url, service_id=service.id)


def texts_of_processes() -> list[tuple[str, bytes]]:
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        for name in ("cmdline", "environ"):
            try:
                found.append((f"{process}/{name}", (process / name).read_bytes()))
            except OSError:
                continue
    return found


async def test_a_private_repository_is_read_with_what_was_given(
    world: World, server: Any, repository: Any, checkout_folder: Path, tmp_path: Path
) -> None:
    server.token = TOKEN
    url = server.url("app")
    service = await create(world, url)
    source, log = source_of(world), Lines()
    with pytest.raises(SourceError, match="was not found, or it is private") as caught:
        await source.resolve(place(service, url))
    assert "helvetia credentials SERVICE give" in caught.value.hint
    status, shown = await world.call("POST", GIVE, {"password": TOKEN})
    assert (status, shown["kind"], shown["is_used"]) == (201, "password", True)
    assert shown["repository"] == url
    told: list[str] = []
    looked = 0

    async def look(request: object) -> None:
        nonlocal looked
        for name, data in await asyncio.to_thread(texts_of_processes):
            looked += name.endswith("cmdline") and f":{server.port}/app".encode() in data
            if TOKEN.encode() in data:
                told.append(name)

    server.on_request = look
    # With `.git` at its end it is the same repository.
    revision = await source.resolve(place(service, f"{url}/"))
    await source.checkout(place(service, url), revision, checkout_folder, log)
    assert _names(checkout_folder) == {"first", "second"}
    assert looked > 2
    assert told == []
    assert TOKEN not in log.text
    assert [_holding(folder) for folder in (checkout_folder, tmp_path / "home")] == [[], []]


def _names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def _holding(folder: Path) -> list[Path]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return [path for path in files if TOKEN.encode() in path.read_bytes()]


async def test_they_are_for_this_repository_alone(
    world: World, server: Any, repository: Any, make_repository: Any
) -> None:
    """Who may change the source may not have the token sent elsewhere, or read more with it."""
    make_repository("other").commit(a="1")
    server.token = TOKEN
    service = await create(world, server.url("app"))
    await world.call("POST", GIVE, {"password": TOKEN})
    seen: list[str] = []

    async def look(request: Any) -> None:
        seen.append(request.headers.get("Authorization", ""))

    server.on_request = look
    source = source_of(world)
    for url in (
        server.url("other"),
        server.url("app/../other"),
        server.url("app", host="localhost"),
        server.url("app%2f"),
        server.url("APP"),
    ):
        with pytest.raises(SourceError):
            await source.resolve(place(service, url))
    # Somebody else's service does not have them either.
    with pytest.raises(SourceError):
        await source.resolve(SourceAddress(url=server.url("app"), service_id="feed"))
    assert set(seen) == {""}
    body = {"source": server.url("other")}
    assert (await world.call("PATCH", "/api/v1/services/site", body, who="mel"))[0] == 200
    _, shown = await world.call("GET", GIVE, who="mel")
    assert shown["is_used"] is False
    await world.call("PATCH", "/api/v1/services/site", {"source": server.url("app")})
    assert (await source.resolve(place(service, server.url("app")))).sha
    assert any(seen)
    # A row that was moved to another address opens nothing.
    await Credentials.all().update(address=server.url("other"))
    with pytest.raises(Exception, match="changed or moved"):
        await source.resolve(place(service, server.url("other")))


async def test_a_plan_is_made_with_them(
    world: World, server: Any, repository: Any, make_repository: Any
) -> None:
    make_repository("other").commit(a="1")
    repository.commit(**{"index.html": "<h1>1</h1>"})
    server.token = TOKEN
    url = server.url("app")
    await create(world, url)
    await world.call("POST", GIVE, {"password": TOKEN})
    plan: dict[str, Any] = {"source": url}
    status, told = await world.call("POST", "/api/v1/plans", plan)
    assert (status, told["code"]) == (422, "source-failed")
    plan |= {"service": "site"}
    for who in ("ada", "mel"):
        status, told = await world.call("POST", "/api/v1/plans", plan, who=who)
        assert (status, told["sha"]) == (200, repository.git("rev-parse", "main")), told
    # They are for their repository alone, and for those who may deploy it.
    status, told = await world.call("POST", "/api/v1/plans", plan | {"source": server.url("other")})
    assert (status, told["code"]) == (422, "source-failed")
    stranger = await world.person("eve", Role.MEMBER)
    await Membership.filter(user_id=stranger.id).update(
        team_id=(await Team.create(name="theirs")).id
    )
    assert (await world.call("POST", "/api/v1/plans", plan, who="eve"))[0] == 404
    assert (await world.call("POST", "/api/v1/plans", plan | {"service": "none"}))[0] == 404
    await Membership.filter(user__name="mel").update(role=Role.VIEWER)
    assert (await world.call("POST", "/api/v1/plans", plan, who="mel"))[0] == 403

    repository.commit(
        big=f"version https://git-lfs.github.com/spec/v1\noid sha256:{'0' * 64}\nsize 9\n"
    )
    words = ("plan", url, "--service", "site")
    code, _, errors = await _helvetia(world, *words)
    assert (code, "kept in Git LFS" in errors) == (3, True), errors
    code, out, errors = await _helvetia(world, *words, "--source-option", "lfs=pointers", "--json")
    assert (code, json.loads(out)["sha"]) == (0, repository.git("rev-parse", "main")), errors
    kept = {"settings": {"source": {"lfs": "pointers"}}}
    assert (await world.call("PATCH", "/api/v1/services/site", kept))[0] == 200
    code, _, errors = await _helvetia(world, *words)
    assert code == 0, errors
    code, _, errors = await _helvetia(world, *words, "--source-option", "lfs=maybe")
    assert (code, "lfs" in errors) == (2, True), errors


async def test_nobody_is_told_the_secret(world: World, server: Any, repository: Any) -> None:
    server.token = "another"
    service = await create(world, server.url("app"))
    said = [await world.call("POST", GIVE, {"username": "ada", "password": TOKEN})]
    assert said[0][1]["username"] == "ada"
    said.append(await world.call("POST", GIVE, {"username": "ada", "password": f"{TOKEN}\n"}))
    said.append(await world.call("POST", GIVE, {"username": "ada", "password": [TOKEN]}))
    said.append(await world.call("POST", GIVE, {"username": "ada", "secret": TOKEN}))
    assert [status for status, _ in said] == [201, 422, 422, 422]
    for path in (GIVE, "/api/v1/services/site", "/api/v1/services/site/events", "/api/v1/audit"):
        said.append(await world.call("GET", path))
    assert [status for status, _ in said[4:]] == [200] * 4
    assert TOKEN not in repr(said)
    with pytest.raises(SourceError, match="refused the credentials") as caught:
        await source_of(world).resolve(place(service, server.url("app")))
    assert TOKEN not in f"{caught.value} {caught.value.hint}"
    kinds = await Event.filter(service_id=service.id).values_list("kind", flat=True)
    assert "credentials.given" in kinds


async def test_who_may(world: World, server: Any) -> None:
    await create(world, server.url("app"))
    assert (await world.call("POST", GIVE, {"password": "x"}, who="mel"))[0] == 403
    assert (await world.call("GET", GIVE, who="mel"))[0] == 404
    assert (await world.call("POST", GIVE, {"password": "x"}))[0] == 201
    assert (await world.call("GET", GIVE, who="mel"))[0] == 200
    assert (await world.call("DELETE", GIVE, who="mel"))[0] == 403
    assert (await world.call("DELETE", GIVE))[0] == 204
    assert (await world.call("DELETE", GIVE))[0] == 404
    assert not await Credentials.exists()


def pem(key: Any, password: bytes | None = None) -> str:
    sealed = (
        serialization.BestAvailableEncryption(password)
        if password
        else serialization.NoEncryption()
    )
    kind = serialization.PrivateFormat.PKCS8
    return str(key.private_bytes(serialization.Encoding.PEM, kind, sealed).decode())


@pytest.mark.parametrize(
    ("source", "given", "field"),
    [
        ("https://git.example/a", {}, "password"),
        ("https://git.example/a", {"password": ""}, "password"),
        ("https://git.example/a", {"password": "a\nb"}, "password"),
        ("https://git.example/a", {"password": "a\0b"}, "password"),
        ("https://git.example/a", {"password": "x" * 9000}, "password"),
        ("https://git.example/a", {"username": 'a"\n[core]', "password": "x"}, "username"),
        ("https://git.example/a", {"username": "a:b", "password": "x"}, "username"),
        ("https://git.example/a", {"private_key": "x", "password": "x"}, "private_key"),
        ("git@git.example:a.git", {"password": "x"}, "password"),
        ("git@git.example:a.git", {"username": "x"}, "username"),
        ("git@git.example:a.git", {"private_key": "x"}, "private_key"),
        ("git@git.example:a.git", {"private_key": "RSA"}, "private_key"),
        ("git@git.example:a.git", {"private_key": "DSA"}, "private_key"),
        ("git@git.example:a.git", {"private_key": "SEALED"}, "private_key"),
        ("git@git.example:a.git", {"private_key": "PUBLIC"}, "private_key"),
        ("/srv/repository", {"password": "x"}, "source"),
    ],
)
async def test_what_does_not_fit_is_refused_by_its_name(
    world: World, source: str, given: dict[str, str], field: str
) -> None:
    ed = ed25519.Ed25519PrivateKey.generate()
    public = ed.public_key().public_bytes(
        serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH
    )
    keys = {
        "RSA": lambda: pem(rsa.generate_private_key(public_exponent=65537, key_size=1024)),
        "DSA": lambda: pem(dsa.generate_private_key(key_size=2048)),
        "SEALED": lambda: pem(ed, b"passphrase"),
        "PUBLIC": public.decode,
    }
    if (named := given.get("private_key")) in keys:
        given = {"private_key": keys[str(named)]()}
    await create(world, source)
    status, problem = await world.call("POST", GIVE, given)
    assert (status, {one["field"] for one in problem["errors"]}) == (422, {field})
    assert not await Credentials.exists()


async def test_repositories_of_other_sources_take_none(world: World) -> None:
    await create(world, f"{world.github.url}/ada/site")
    status, problem = await world.call("POST", GIVE, {"password": "x"})
    assert (status, problem["code"]) == (409, "conflict")
    assert "github" in problem["detail"]


def _public_half(key: Path) -> list[str]:
    asked = ["ssh-keygen", "-y", "-f", str(key)]
    done = subprocess.run(asked, check=True, capture_output=True, text=True)
    return done.stdout.split()[:2]


async def test_a_deploy_key_is_made_here(world: World, tmp_path: Path) -> None:
    service = await create(world, "git@git.example:ada/site.git")
    _, shown = await world.call("POST", GIVE, {})
    assert (shown["kind"], shown["repository"]) == ("key", "git@git.example:ada/site")
    kind, _, comment = shown["public_key"].split()
    assert (kind, comment) == ("ssh-ed25519", "helvetia-site")
    # What git would be given is the other half of it.
    given = await keeping.with_credentials(
        world.platform, place(service, "git@git.example:ada/site.git")
    )
    key = tmp_path / "key"
    key.write_text(given.credentials["private_key"])
    key.chmod(0o600)
    assert _public_half(key) == shown["public_key"].split()[:2]
    # One that is given is taken as it is, in either form, and answers for the same public half.
    for text in (given.credentials["private_key"], pem(ed25519.Ed25519PrivateKey.generate())):
        status, again = await world.call("POST", GIVE, {"private_key": text})
        assert status == 201
        assert text.splitlines()[1] not in repr(again)
    assert await Credentials.all().count() == 1


async def test_they_go_with_the_service(world: World, server: Any) -> None:
    service = await create(world, server.url("app"))
    await world.call("POST", GIVE, {"password": TOKEN})
    other = await Service.create(team_id=service.team_id, name="other", source_url="x")
    await Credentials.create(service_id=other.id, kind="password", address="x", secret="")
    await events.record("service.deleted", service_id=service.id)
    await world.settle()
    assert await Credentials.all().values_list("service_id", flat=True) == [other.id]


async def test_a_preview_is_read_as_its_service_is(
    world: World, server: Any, repository: Any
) -> None:
    server.token = TOKEN
    service = await create(world, server.url("app"))
    await world.call("POST", GIVE, {"password": TOKEN})
    preview = await Service.create(
        team_id=service.team_id, name="pr-7-site", source_url=service.source_url
    )
    async with in_transaction():
        await keeping.share(world.platform, service.id, preview.id)
    assert (await source_of(world).resolve(place(preview, service.source_url))).sha
    await world.call("DELETE", GIVE)
    assert await Credentials.all().count() == 1


async def test_two_who_give_at_once(world: World, server: Any) -> None:
    await create(world, server.url("app"))
    given = [world.call("POST", GIVE, {"password": f"token-{number}"}) for number in range(4)]
    assert {status for status, _ in await asyncio.gather(*given)} == {201}
    assert await Credentials.all().count() == 1


async def _helvetia(world: World, *words: str, stdin: str = "") -> tuple[int, str, str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "helvetia.cli", *words,
        env={**os.environ, "HELVETIA_URL": world.url, "HELVETIA_TOKEN": world.tokens["ada"]},
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, errors = await process.communicate(stdin.encode())
    return process.returncode or 0, out.decode(), errors.decode()


async def test_the_command(world: World, server: Any, repository: Any) -> None:
    server.token = TOKEN
    url = server.url("app")
    service = await create(world, url)
    # Where nobody can be asked, a file is.
    code, _, errors = await _helvetia(world, "credentials", "site", "give")
    assert (code, "--password-file" in errors) == (2, True)
    give = ("credentials", "site", "give", "--password-file", "-", "--json")
    code, out, errors = await _helvetia(world, *give, stdin=f"{TOKEN}\n")
    assert (code, json.loads(out)["repository"]) == (0, url), errors
    assert TOKEN not in out + errors
    assert (await source_of(world).resolve(place(service, url))).sha
    await world.call("PATCH", "/api/v1/services/site", {"source": "git@git.example:a/site.git"})
    code, out, _ = await _helvetia(world, "credentials", "site")
    assert (code, url in out, "another repository now" in out, TOKEN in out) == (
        0,
        True,
        True,
        False,
    )
    code, out, _ = await _helvetia(world, "credentials", "site", "give")
    assert code == 0
    assert "\nssh-ed25519 " in f"\n{out}"
