"""The source `github` against the stand-in: private repositories, and where a token is not."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from aiohttp import web

from helvetia import InvalidInput, SourceAddress, SourceError
from helvetia.kernel.models import Membership, Role, Service, Team, User
from helvetia.kernel.platform import Platform
from helvetia.kernel.settings import Settings
from helvetia.plugins.auth.github import grants
from helvetia.plugins.github import app, client
from helvetia.plugins.github.models import Connection
from helvetia.plugins.sources.github import source as module
from helvetia.plugins.sources.github.source import GitHubSource
from helvetia.testing import Lines
from tests.github_stand_in.rest import Repo, StandIn, running
from tests.github_stand_in.world import migrated_home


class World:
    """A platform whose GitHub is the stand-in, and Ada, who has connected it."""

    def __init__(self, platform: Platform, github: StandIn, folder: Path) -> None:
        self.platform, self.github, self.folder = platform, github, folder
        self.source = GitHubSource(platform)
        self.log = Lines()

    async def person(self, name: str, *, team: str = "ours", grant: bool = True) -> User:
        made = await User.create(name=name)
        group, _ = await Team.get_or_create(name=team)
        await Membership.create(user_id=made.id, team_id=group.id, role=Role.MEMBER)
        self.token = self.github.user(name)
        if grant:
            await grants.keep(
                self.platform, made.id, subject=name, login=name, token=self.token, scopes=["repo"]
            )
        return made

    async def connected(self, repo: Repo, user: User, **more: object) -> Service:
        team = await Team.get(name="ours")
        service = await Service.create(
            team_id=team.id, name=f"app{repo.id}", source_url=f"{self.github.url}/{repo.name}"
        )
        await Connection.create(
            service_id=service.id, team_id=team.id, user_id=user.id, repository_id=str(repo.id),
            name=repo.name, written=repo.name, **more,
        )  # fmt: skip
        return service

    def address(self, repo: Repo, **more: str) -> SourceAddress:
        return SourceAddress(url=f"{self.github.url}/{repo.name}", **more)

    async def read(self, address: SourceAddress) -> Path:
        revision = await self.source.resolve(address)
        self.folder.mkdir()
        await self.source.checkout(address, revision, self.folder, self.log)
        return self.folder


@pytest.fixture
async def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    monkeypatch.setattr(client, "_PAUSE_SECONDS", 0.01)
    monkeypatch.setattr(module, "_PAUSES", (0.01, 0.01))
    client._kept.clear()
    app._tokens.clear()
    await asyncio.to_thread(shutil.copytree, migrated_home(), tmp_path / "home")
    async with running(tmp_path / "github") as github:
        key = tmp_path / "app.pem"
        key.write_bytes(github.private_key())
        environment = {
            "HELVETIA_GITHUB_URL": github.url,
            "HELVETIA_GITHUB_APP_ID": github.app_id,
            "HELVETIA_GITHUB_PRIVATE_KEY_FILE": str(key),
        }
        platform = Platform(Settings(tmp_path / "home", environment))
        await platform.open()
        try:
            yield World(platform, github, tmp_path / "checkout")
        finally:
            await platform.close()


async def test_a_private_repository_is_read_by_whoever_asks(world: World) -> None:
    repo = world.github.repo("ada/app", ada="read")
    sha = repo.commit(index__html="<h1>hi</h1>")
    ada = await world.person("ada")
    address = world.address(repo, user_id=ada.id)
    assert (await world.source.resolve(replace(address, url="ada/app"))).sha == sha
    folder = await world.read(address)
    assert [path.name for path in folder.iterdir()] == ["index.html"]
    # Nobody, and somebody else of the team, cannot.
    eve = await world.person("eve")
    for other in ("", eve.id):
        with pytest.raises(SourceError):
            await world.source.resolve(world.address(repo, user_id=other))


async def test_a_connection_reads_for_the_team_while_its_maker_is_in_it(world: World) -> None:
    repo, other = world.github.repo("ada/app", ada="read"), world.github.repo("ada/x", ada="read")
    sha = repo.commit(a="1")
    other.commit(a="1")
    ada = await world.person("ada")
    service = await world.connected(repo, ada)
    address = world.address(repo, service_id=service.id)
    assert (await world.source.resolve(address)).sha == sha
    # It is good for this repository alone: others of Ada's are not the team's.
    with pytest.raises(SourceError):
        await world.source.resolve(world.address(other, service_id=service.id))
    await Membership.filter(user_id=ada.id).delete()
    with pytest.raises(SourceError, match="not in its team any more"):
        await world.source.resolve(address)


async def test_an_installation_reads_what_it_covers(world: World) -> None:
    repo = world.github.repo("acme/app")
    repo.commit(a="1")
    number = world.github.install("acme", repo)
    service = await world.connected(
        repo, await world.person("ada", grant=False), installation=number
    )
    folder = await world.read(world.address(repo, service_id=service.id))
    assert (folder / "a").read_text() == "1"
    used = [world.github.tokens[token] for token in _used_tokens(world)]
    assert {(one.installation, one.repositories) for one in used} == {
        (number, frozenset({repo.id}))
    }
    assert all(one.permissions == {"contents": "read"} for one in used)
    # The token that is kept is refused in the middle: git gets another one.
    world.github.tokens.clear()
    await world.source.resolve(world.address(repo, service_id=service.id))
    world.github.installations[number]["suspended"] = True
    world.github.tokens.clear()
    with pytest.raises(SourceError, match="suspended"):
        await world.source.resolve(world.address(repo, service_id=service.id))


def _used_tokens(world: World) -> set[str]:
    import base64

    sent = {header for _, header in world.github.git_requests if header}
    return {base64.b64decode(one.partition(" ")[2]).decode().partition(":")[2] for one in sent}


async def test_a_renamed_repository_is_found(world: World) -> None:
    repo = world.github.repo("ada/old", ada="read")
    sha = repo.commit(a="1")
    ada = await world.person("ada")
    service = await world.connected(repo, ada)
    old = world.address(repo)
    public = world.github.repo("ada/open", private=False)
    there = public.commit(a="2")
    public_address = world.address(public)
    world.github.rename(repo, "ada/new")
    world.github.rename(public, "ada/opened")
    assert (await world.source.resolve(replace(old, service_id=service.id))).sha == sha
    assert (await world.source.resolve(replace(old, user_id=ada.id))).sha == sha
    assert (await world.source.resolve(public_address)).sha == there


async def test_github_down(world: World) -> None:
    repo = world.github.repo("ada/app", ada="read")
    sha = repo.commit(a="1")
    ada = await world.person("ada")
    address = world.address(repo, user_id=ada.id)
    asked: list[str] = []

    def api_down(request: web.Request) -> web.Response | None:
        asked.append(request.path)
        is_api = request.path.startswith("/api")
        return web.Response(status=503) if is_api or len(asked) < 6 else None

    # The API fails, git fails at first: it is read all the same.
    world.github.fault = api_down
    assert (await world.source.resolve(address)).sha == sha
    assert sum(not path.startswith("/api") for path in asked) > 2
    world.github.fault = None
    world.github.down = True
    with pytest.raises(SourceError, match="does not answer") as caught:
        await world.source.resolve(address)
    assert world.token not in str(caught.value)


async def test_a_revoked_grant_says_what_to_do(world: World) -> None:
    repo = world.github.repo("ada/app", ada="read")
    ada = await world.person("ada")
    world.github.tokens.clear()
    with pytest.raises(SourceError) as caught:
        await world.source.resolve(world.address(repo, user_id=ada.id))
    assert "connect GitHub again" in caught.value.hint


async def test_not_at_github(world: World) -> None:
    with pytest.raises(InvalidInput, match="no repository at"):
        await world.source.resolve(SourceAddress(url="https://evil.tld/ada/app"))
    assert world.source.claims("https://evil.tld/127.0.0.1/x").score == 0
    assert world.source.claims(f"{world.github.url}/ada/app.git").score > 60


async def test_the_token_is_nowhere(world: World, tmp_path: Path) -> None:
    """Looked for in every process, in every file, in the log and in the checkout."""
    repo = world.github.repo("ada/app", ada="read")
    repo.commit(**{f"file{number}": str(number) for number in range(50)})
    ada = await world.person("ada")
    seen: list[tuple[str, str]] = []
    looked = 0

    async def look() -> None:
        # While a request of git is being answered, its processes are all there.
        nonlocal looked
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error, OSError):
                command = " ".join(process.cmdline())
                looked += "git" in command
                values = " ".join(process.environ().values())
                if world.token in command:
                    seen.append(("argv", command))
                if world.token in values:
                    seen.append(("environ", command))

    world.github.hold = look
    address = world.address(repo, user_id=ada.id)
    folder = await world.read(address)
    assert looked > 0
    assert seen == []
    assert world.token not in world.log.text
    # The platform's own database is sealed; nothing of git's is left.
    holding = [
        path
        for path in [*folder.rglob("*"), *(tmp_path / "home").rglob("*")]
        if path.is_file() and world.token.encode() in path.read_bytes()
    ]
    assert holding == []
    assert [*(tmp_path / "home" / "git").glob("work-*")] == []


@pytest.mark.parametrize("kind", ["redirect", "submodule"])
async def test_the_token_goes_to_no_other_host(world: World, tmp_path: Path, kind: str) -> None:
    async with running(tmp_path / "evil") as evil:
        repo = world.github.repo("ada/app", ada="read")
        repo.commit(a="1")
        ada = await world.person("ada")
        address = world.address(repo, user_id=ada.id, options={"submodules": "true"})
        # The same host name at another port would do for a careless helper.
        trap = evil.url
        if kind == "redirect":
            world.github.fault = lambda request: (
                None if request.path.startswith("/api")
                else web.Response(status=302, headers={"Location": trap + request.path_qs})
            )  # fmt: skip
        else:
            _add_submodule(repo, "lib", f"{trap}/ada/app.git", "ab" * 20)
        with pytest.raises(SourceError):
            await world.read(address)
        assert evil.git_requests == []


def _add_submodule(repo: Repo, path: str, url: str, sha: str) -> None:
    text = f'[submodule "{path}"]\n\tpath = {path}\n\turl = {url}\n'
    (repo.tree / ".gitmodules").write_text(text)
    repo.git("update-index", "--add", "--cacheinfo", f"160000,{sha},{path}")
    repo.git("add", ".gitmodules")
    repo.git("commit", "-q", "-m", "With a submodule")
    repo.git("push", "-q", "origin", "main")


@pytest.mark.parametrize("form", ["../lib.git", "{url}/ada/lib"])
async def test_private_submodules_of_the_same_host(world: World, form: str) -> None:
    repo, lib = world.github.repo("ada/app", ada="read"), world.github.repo("ada/lib", ada="read")
    repo.commit(a="1")
    sha = lib.commit(b="2")
    _add_submodule(repo, "vendor/lib", form.format(url=world.github.url), sha)
    ada = await world.person("ada")
    folder = await world.read(world.address(repo, user_id=ada.id, options={"submodules": "true"}))
    assert (folder / "vendor" / "lib" / "b").read_text() == "2"
    assert not [*folder.rglob(".git")]


async def test_lfs_pointers_are_never_deployed_silently(world: World) -> None:
    repo = world.github.repo("ada/app", ada="read")
    repo.commit(big="version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n")
    ada = await world.person("ada")
    address = world.address(repo, user_id=ada.id)
    with pytest.raises(SourceError, match="Git LFS, which is not fetched: big"):
        await world.read(address)
    world.folder.rmdir()  # nothing was left in it
    folder = await world.read(replace(address, options={"lfs": "pointers"}))
    assert (folder / "big").exists()
