"""Files of Git LFS: fetched when asked, with the repository's credentials, and from nowhere odd."""

from __future__ import annotations

import asyncio
import base64
import os
import shutil
import subprocess
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from lfs_server import LargeFileServer, pointer, serving_files

from helvetia import InvalidInput, SourceAddress, SourceError
from helvetia.plugins.sources.git import lfs as module

BIG = os.urandom(300_000)
TOKEN = "s3cr3t-tok3n-0123456789"
BASIC = f"Basic {base64.b64encode(f'x-access-token:{TOKEN}'.encode()).decode()}"


@pytest.fixture
async def lfs(make_server) -> AsyncIterator[LargeFileServer]:
    async with serving_files(make_server(token=TOKEN)) as server:
        yield server


@pytest.fixture
def address(lfs: LargeFileServer) -> SourceAddress:
    return SourceAddress(
        url=lfs.git.url("app"), trusted=True, credentials={"password": TOKEN},
        options={"lfs": "true"},
    )  # fmt: skip


async def read(git_source, address, folder, log) -> Path:
    revision = await git_source.resolve(address)
    await git_source.checkout(address, revision, folder, log)
    return folder


async def test_files_come_in_place_of_their_pointers(
    lfs, address, repository, git_source, checkout_folder, log, kernel
):
    repository.commit(**{"big.bin": lfs.add(BIG), "deep/a.bin": lfs.add(b"a"), "plain": "text"})
    (repository.path / "big.bin").chmod(0o755)
    repository.commit()
    folder = await read(git_source, address, checkout_folder, log)
    assert (folder / "big.bin").read_bytes() == BIG
    assert (folder / "deep" / "a.bin").read_bytes() == b"a"
    assert ((folder / "big.bin").stat().st_mode & 0o111) == 0o111
    assert {path.name for path in folder.iterdir()} == {
        "big.bin", "deep", "plain", "first", "second",
    }  # fmt: skip
    assert "Fetching 2 files of Git LFS, 0.3 MiB" in log.text
    # The API is asked with the token; the files need their own tickets alone.
    assert [given for path, given in lfs.asked] == [BASIC, "", ""]
    assert TOKEN not in log.text
    kept = [path for path in kernel.home.rglob("*") if path.is_file()]
    assert [path for path in kept if TOKEN.encode() in path.read_bytes()] == []


async def test_a_server_that_wants_the_token_again_gets_it(
    lfs, address, repository, git_source, checkout_folder, log
):
    lfs.authenticated = False
    repository.commit(**{"big.bin": lfs.add(BIG)})
    folder = await read(git_source, address, checkout_folder, log)
    assert (folder / "big.bin").read_bytes() == BIG
    assert {given for _, given in lfs.asked} == {BASIC}


@pytest.mark.parametrize("way", ["named", "redirect"])
async def test_the_token_goes_to_no_other_host(
    lfs, address, repository, git_source, checkout_folder, log, make_server, way
):
    """Another port is another host, and plain HTTP is for the repository's own."""
    async with serving_files(make_server()) as other:
        other.authenticated = False
        lfs.authenticated = False
        if way == "named":
            lfs.storage = other.git.url("")[:-1]
        else:
            lfs.redirect = other.git.url("")[:-1]
        repository.commit(**{"big.bin": lfs.add(BIG)})
        other.add(BIG)
        with pytest.raises(SourceError, match="is not https"):
            await read(git_source, address, checkout_folder, log)
        assert other.asked == []
    assert list(checkout_folder.iterdir()) == []


async def test_files_on_a_private_host_are_for_trusted_addresses(
    lfs, address, repository, git_source, configure, checkout_folder, log, monkeypatch
):
    """The repository is at a public address, its server leads to this machine."""
    repository.commit(**{"big.bin": lfs.add(BIG)})
    lfs.storage = "https://169.254.169.254"
    seen = []
    real = module.guarded_connector

    def guarded(*, allow_private):
        seen.append(allow_private)
        return real(allow_private=False)

    monkeypatch.setattr(module, "guarded_connector", guarded)
    with pytest.raises(SourceError, match="not on the public network"):
        await read(git_source, address, checkout_folder, log)
    assert seen == [True]
    assert lfs.asked == []


@pytest.mark.parametrize(
    ("bend", "told"),
    [
        ({"status": 401}, "answers 401"),
        ({"status": 404}, "answers 404"),
        ({"status": 503}, "answers 503"),
        ({"status": 302}, "answers 302"),
        ({"answer": {"objects": "x"}}, "not understood"),
        ({"answer": {"objects": []}}, "says nothing of"),
        ({"wrong": b"short"}, "is not that file"),
        ({"wrong": BIG + b"more"}, "is not that file"),
        ({"wrong": bytes(len(BIG))}, "is not that file"),
        ({"files": {}}, "has not got `big.bin`: Object does not exist"),
        ({"storage": "file:///etc/passwd#"}, "is not https"),
        ({"storage": "https://[::"}, "is not https|cannot be asked"),
        ({"redirect": "REDIRECT"}, "leads from one address to the next"),
    ],
)
async def test_servers_that_fail_or_try_something(
    lfs, address, repository, git_source, checkout_folder, log, bend, told
):
    repository.commit(**{"big.bin": lfs.add(BIG)})
    if "redirect" in bend:
        bend = {"redirect": lfs.git.url("")[:-1]}
    for name, value in bend.items():
        setattr(lfs, name, value)
    with pytest.raises(SourceError, match=told) as caught:
        await read(git_source, address, checkout_folder, log)
    assert TOKEN not in f"{caught.value} {caught.value.hint}"
    assert list(checkout_folder.iterdir()) == []


async def test_more_than_may_be_is_not_begun(
    lfs, address, repository, git_source, configure, checkout_folder, log
):
    configure(max_size_mib=1)
    repository.commit(**{f"{number}.bin": lfs.add(BIG) for number in range(4)})
    with pytest.raises(SourceError, match="larger than"):
        await read(git_source, address, checkout_folder, log)
    assert lfs.asked == []


async def test_the_repository_names_no_other_server(
    lfs, address, repository, git_source, checkout_folder, log, make_server
):
    async with serving_files(make_server()) as evil:
        config = f"[lfs]\n\turl = {evil.git.url('x')}\n"
        repository.commit(**{"big.bin": lfs.add(BIG), ".lfsconfig": config})
        await read(git_source, address, checkout_folder, log)
        assert evil.asked == []


async def test_a_link_is_no_pointer(lfs, address, repository, git_source, checkout_folder, log):
    """A pointer that is written over through a link would be somebody else's file."""
    repository.commit(**{"real": lfs.add(BIG)})
    (repository.path / "link").symlink_to("real")
    repository.commit()
    folder = await read(git_source, address, checkout_folder, log)
    assert (folder / "link").is_symlink()
    assert (folder / "real").read_bytes() == BIG


async def test_what_nobody_asked_for_is_not_fetched(
    lfs, address, repository, git_source, checkout_folder, log
):
    repository.commit(**{"big.bin": lfs.add(BIG)})
    for options in ({}, {"lfs": "false"}):
        with pytest.raises(SourceError, match=r"not fetched: big\.bin") as caught:
            await read(git_source, replace(address, options=options), checkout_folder, log)
        assert "`lfs` to `true`" in caught.value.hint
    wanted = replace(address, options={"lfs": "pointers"})
    folder = await read(git_source, wanted, checkout_folder, log)
    assert (folder / "big.bin").read_text() == pointer(BIG)
    assert lfs.asked == []


@pytest.mark.parametrize("options", [{"lfs": "yes"}, {"submodules": "1"}])
async def test_an_option_that_means_nothing_is_refused(
    lfs, address, repository, git_source, options
):
    with pytest.raises(InvalidInput) as caught:
        await git_source.resolve(replace(address, options=options))
    assert caught.value.field == f"settings.source.{next(iter(options))}"


async def test_files_of_a_repository_of_this_machine(
    repository, git_source, checkout_folder, log, lfs
):
    oid = lfs.add(BIG).split("sha256:")[1][:64]
    repository.commit(**{"big.bin": pointer(BIG)})
    address = SourceAddress(url=repository.url, trusted=True, options={"lfs": "true"})
    with pytest.raises(SourceError, match="is not on this machine") as caught:
        await read(git_source, address, checkout_folder, log)
    assert "git lfs fetch" in caught.value.hint
    kept = repository.path / ".git" / "lfs" / "objects" / oid[:2] / oid[2:4]
    kept.mkdir(parents=True)
    (kept / oid).write_bytes(BIG)
    folder = await read(git_source, address, checkout_folder, log)
    assert (folder / "big.bin").read_bytes() == BIG


@pytest.mark.skipif(not shutil.which("git-lfs"), reason="git-lfs is not installed")
async def test_what_git_lfs_itself_has_pushed(
    lfs, address, make_repository, git_source, checkout_folder, log, tmp_path
):
    """Pointers, attributes and files are the real program's; so is the protocol it pushes by."""
    made = make_repository("app")
    made.git("lfs", "install", "--local")
    made.git("lfs", "track", "*.bin")
    (made.path / "big.bin").write_bytes(BIG)
    made.commit("With a large file")
    askpass = tmp_path / "askpass"
    askpass.write_text(f"#!/bin/sh\ncase $1 in User*) echo x-access-token;; *) echo {TOKEN};; esac")
    askpass.chmod(0o700)
    made.git("remote", "add", "origin", lfs.git.url("app"))
    environment = {
        "PATH": os.environ["PATH"], "HOME": str(tmp_path), "GIT_ASKPASS": str(askpass),
        "GIT_TERMINAL_PROMPT": "0",
    }  # fmt: skip
    done = await asyncio.to_thread(
        subprocess.run, ["git", "lfs", "push", "origin", "main"], cwd=made.path, env=environment,
        check=False, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert list(lfs.files.values()) == [BIG]
    lfs.asked.clear()
    folder = await read(git_source, address, checkout_folder, log)
    assert (folder / "big.bin").read_bytes() == BIG


async def test_submodules_have_files_of_their_own(
    lfs, address, repository, make_repository, git_source, checkout_folder, log
):
    inner = make_repository("lib")
    sha = inner.commit(**{"inner.bin": lfs.add(b"inner")})
    (repository.path / ".gitmodules").write_text(
        '[submodule "lib"]\n\tpath = lib\n\turl = ../lib\n'
    )
    repository.git("update-index", "--add", "--cacheinfo", f"160000,{sha},lib")
    repository.git("add", ".gitmodules")
    repository.git("commit", "-q", "-m", "With a submodule")
    address = replace(address, options={"lfs": "true", "submodules": "true"})
    folder = await read(git_source, address, checkout_folder, log)
    assert (folder / "lib" / "inner.bin").read_bytes() == b"inner"
    assert next(path for path, _ in lfs.asked) == "/lib.git/info/lfs/objects/batch"
