"""Repositories over SSH: a real sshd, a deploy key, host keys, and files of Git LFS."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest
from lfs_server import LargeFileServer, serving_files
from ssh_server import SSHServer

from helvetia import SourceAddress, SourceError
from helvetia.kernel.models import Service
from helvetia.plugins.sources.git import GitSource
from helvetia.plugins.sources.git.access import Access
from helvetia.plugins.sources.git.addresses import parse_address
from helvetia.plugins.sources.git.credentials import keys
from helvetia.plugins.sources.git.lfs import LargeFiles
from helvetia.plugins.sources.git.lfs_door import Door, find_door, ssh_place
from helvetia.plugins.sources.git.session import GitSession, open_session
from helvetia.testing import Lines
from tests.github_stand_in.world import World, open_github_world

BIG = os.urandom(200_000)
TOKEN = "s3cr3t-tok3n-0123456789"
BASIC = f"Basic {base64.b64encode(f'x-access-token:{TOKEN}'.encode()).decode()}"
GIVE = "/api/v1/services/site/credentials"


@pytest.fixture
def ssh(tmp_path: Path) -> Iterator[SSHServer]:
    server = SSHServer(tmp_path / "ssh")
    yield server
    server.stop()


@pytest.fixture
def private_key(ssh: SSHServer) -> str:
    """A key that the server lets in."""
    private, public = keys.make_key("test")
    ssh.allow(public)
    return private


@pytest.fixture
async def lfs(make_server: Any) -> AsyncIterator[LargeFileServer]:
    async with serving_files(make_server(token=TOKEN)) as server:
        yield server


@pytest.fixture
def address(ssh: SSHServer, repository: Any, private_key: str) -> SourceAddress:
    return SourceAddress(
        url=ssh.url(repository.path),
        trusted=True,
        credentials={"private_key": private_key},
        options={"lfs": "true"},
    )


@pytest.fixture
def over_ssh(configure: Callable[..., None]) -> None:
    configure(protocols="ssh")


@pytest.mark.parametrize("protocol_2", [True, False])
async def test_a_deploy_key_reads_an_exact_commit(
    ssh: SSHServer, repository: Any, tmp_path: Path, checkout_folder: Path, protocol_2: bool
) -> None:
    ssh.protocol_2 = protocol_2
    ssh.start()
    loose = {"HELVETIA_GIT_PROTOCOLS": "ssh", "HELVETIA_GIT_ALLOW_PRIVATE_HOSTS": "true"}
    async with open_github_world(tmp_path, light="yes", **loose) as world:
        await world.person("ada")
        source, place = await _service(world, ssh.url(repository.path))
        with pytest.raises(SourceError, match="refused the SSH key"):
            await source.resolve(place)
        _, shown = await world.call("POST", GIVE, {})
        ssh.allow(shown["public_key"])
        tip = await source.resolve(place)
        assert tip.sha == repository.git("rev-parse", "main")
        # The branch has moved on; what is deployed is the commit that was found.
        repository.commit("Third", third="3")
        log = Lines()
        await source.checkout(place, tip, checkout_folder, log)
        assert _names(checkout_folder) == {"first", "second"}
        assert _holding(tmp_path / "home", b"PRIVATE KEY") == []
        assert "PRIVATE KEY" not in log.text


def _names(folder: Path) -> set[str]:
    return {path.name for path in folder.rglob("*")}


def _holding(folder: Path, secret: bytes) -> list[Path]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return [path for path in files if secret in path.read_bytes()]


async def _service(world: World, url: str) -> tuple[Any, SourceAddress]:
    status, made = await world.call("POST", "/api/v1/services", {"name": "site", "source": url})
    assert status == 201, made
    source = world.platform.providers.sources.get("git").provider
    service = await Service.get(name="site")
    return source, SourceAddress(url=url, service_id=service.id)


async def test_a_host_that_is_another_one_now_is_refused(
    ssh: SSHServer, git_source: GitSource, kernel: Any, address: SourceAddress, over_ssh: None
) -> None:
    ssh.start()
    known = kernel.folder("git") / "known_hosts"
    assert not known.exists()
    await git_source.resolve(address)
    assert known.read_text() == ssh.host_key()
    ssh.stop()
    ssh.renew_host_key()
    ssh.start()
    for _ in range(2):
        with pytest.raises(SourceError, match="is not the known one") as caught:
            await git_source.resolve(address)
        assert "correct the known hosts" in caught.value.hint
    assert known.read_text() != ssh.host_key()
    known.write_text(ssh.host_key())
    await git_source.resolve(address)


async def test_pinned_hosts_are_the_only_ones(
    ssh: SSHServer,
    git_source: GitSource,
    kernel: Any,
    address: SourceAddress,
    configure: Callable[..., None],
    tmp_path: Path,
) -> None:
    ssh.start()
    pinned = tmp_path / "pinned"
    pinned.touch()
    configure(protocols="ssh", ssh_known_hosts=str(pinned))
    with pytest.raises(SourceError, match="is not the known one"):
        await git_source.resolve(address)
    assert pinned.read_text() == ""
    pinned.write_text(ssh.host_key())
    await git_source.resolve(address)
    assert not (kernel.folder("git") / "known_hosts").exists()


async def test_a_path_is_a_path_to_every_shell_on_the_way(
    ssh: SSHServer,
    lfs: LargeFileServer,
    git_source: GitSource,
    address: SourceAddress,
    make_repository: Any,
    checkout_folder: Path,
    log: Lines,
    tmp_path: Path,
    over_ssh: None,
) -> None:
    ssh.start()
    odd = make_repository("it's $(touch canary); `id` & a")
    odd.commit(**{"big.bin": lfs.add(BIG)})
    ssh.answer(_door(lfs))
    place = _at(address, ssh.url(str(odd.path).replace(" ", "%20")))
    revision = await git_source.resolve(place)
    await git_source.checkout(place, revision, checkout_folder, log)
    assert (checkout_folder / "big.bin").read_bytes() == BIG
    assert ssh.asked() == [[str(odd.path), "download"]]
    assert "canary" not in _names(tmp_path)


@pytest.mark.long
async def test_large_files_that_git_lfs_itself_has_pushed(
    ssh: SSHServer,
    lfs: LargeFileServer,
    git_source: GitSource,
    address: SourceAddress,
    private_key: str,
    repository: Any,
    checkout_folder: Path,
    log: Lines,
    tmp_path: Path,
    over_ssh: None,
) -> None:
    """The program asks our server for leave as we do, with the same words."""
    ssh.start()
    ssh.answer(_door(lfs))
    repository.git("lfs", "install", "--local")
    repository.git("lfs", "track", "*.bin")
    (repository.path / "big.bin").write_bytes(BIG)
    repository.commit("With a large file")
    key = tmp_path / "key"
    key.write_text(private_key)
    key.chmod(0o600)
    options = f"-i {key} -o IdentitiesOnly=yes -o StrictHostKeyChecking=no"
    environment = {
        "PATH": os.environ["PATH"], "HOME": str(tmp_path),
        "GIT_SSH_COMMAND": f"ssh -F none -o UserKnownHostsFile=/dev/null {options}",
    }  # fmt: skip
    repository.git("remote", "add", "origin", address.url)
    push = ["git", "lfs", "push", "origin", "main"]
    done = await asyncio.to_thread(
        subprocess.run, push, cwd=repository.path, env=environment, check=False,
        capture_output=True, text=True, timeout=240,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert list(lfs.files.values()) == [BIG]
    lfs.asked.clear()
    revision = await git_source.resolve(address)
    await git_source.checkout(address, revision, checkout_folder, log)
    assert (checkout_folder / "big.bin").read_bytes() == BIG
    (pushed, *_), fetched = ssh.asked(), ssh.asked()[-1]
    assert (pushed, fetched) == ([pushed[0], "upload"], [pushed[0], "download"])
    # What the host gave opens its API, and nothing else.
    assert [headers for _, headers in lfs.asked] == [BASIC, ""]
    assert TOKEN not in log.text


def _door(lfs: LargeFileServer, **more: object) -> str:
    href = f"http://127.0.0.1:{lfs.git.port}/app.git/info/lfs"
    header = {"Authorization": BASIC}
    return json.dumps({"href": href, "header": header, "expires_in": 600} | more)


def _at(address: SourceAddress, url: str) -> SourceAddress:
    return SourceAddress(
        url=url, trusted=True, credentials=address.credentials, options=address.options
    )


WRONG = {
    "": "is not understood",
    "Welcome!": "is not understood",
    "[1]": "is not understood",
    '{"href": 7}': "is not understood",
    '{"href": "https://h.example/", "header": ["a"]}': "is not understood",
    '{"href": "https://h.example/", "header": {"A": "b\\r\\nC: d"}}': "is not understood",
    '{"href": "http://h.example/lfs", "header": {}}': "is not https",
    '{"href": "file:///etc/passwd"}': "is not https",
    '{"href": "http://127.0.0.1@h.example/lfs"}': "is not https",
    '{"href": "http://127.0.0.1.h.example/lfs"}': "is not https",
    "x" * 100_000: "too much",
}


async def test_what_a_host_says_wrongly(
    ssh: SSHServer, address: SourceAddress, tmp_path: Path
) -> None:
    ssh.start()
    async with _session(address, tmp_path) as session:
        with pytest.raises(SourceError, match="it says: no large files here") as caught:
            await find_door(session)
        assert "https address" in caught.value.hint
        for answer, said in WRONG.items():
            ssh.answer(answer)
            with pytest.raises(SourceError, match=said):
                await find_door(session)
        # What is left out is beside the path, over https.
        ssh.answer("{}")
        path = parse_address(address.url).url.partition(str(ssh.port))[2]
        assert await find_door(session) == Door(f"https://127.0.0.1{path}.git/info/lfs", {})
        ssh.allow("ssh-ed25519 AAAA another")
        with pytest.raises(SourceError, match="refused the SSH key"):
            await find_door(session)


def _session(address: SourceAddress, folder: Path) -> AbstractAsyncContextManager[GitSession]:
    access = Access(
        credentials=address.credentials, addresses=("127.0.0.1",), known_hosts=folder / "known"
    )
    return open_session(folder / "git", parse_address(address.url), access, limit_mib=9)


async def test_a_tenant_is_led_to_no_private_network(
    ssh: SSHServer, lfs: LargeFileServer, address: SourceAddress, repository: Any, tmp_path: Path
) -> None:
    """The repository is the operator's own, what its host says of LFS is not."""
    ssh.start()
    ssh.answer(_door(lfs))
    folder = tmp_path / "files"
    folder.mkdir()
    (folder / "big").write_text(lfs.add(BIG))
    async with _session(address, tmp_path) as session:
        files = LargeFiles(session, allow_private=False, most_bytes=10**9)
        with pytest.raises(SourceError, match="not on the public network"):
            await files.fetch(folder, Lines())
    assert lfs.asked == []


@pytest.mark.parametrize(
    ("url", "target", "path"),
    [
        ("git@h.example:foo/bar.git", "git@h.example", "foo/bar.git"),
        ("git@h.example:/foo/bar.git", "git@h.example", "/foo/bar.git"),
        ("h.example:it's.git", "h.example", "it's.git"),
        ("ssh://git@h.example/foo/bar.git", "git@h.example", "/foo/bar.git"),
        ("ssh://h.example:2222/~ada/b%20r", "h.example", "/~ada/b r"),
        ("ssh://git@[::1]/a", "git@::1", "/a"),
    ],
)
def test_whom_ssh_asks_for_what(url: str, target: str, path: str) -> None:
    """As git-lfs 3.3 was seen to do."""
    assert ssh_place(parse_address(url)) == (target, path)
