"""The source `git` against real repositories, as paths and over HTTP."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import os
import re
import signal
from pathlib import Path

import psutil
import pytest

from helvetia import InvalidInput, Revision, SourceAddress, SourceError
from helvetia.kernel.locks import file_lock
from helvetia.plugins.sources.git.revisions import parse_commit
from helvetia.plugins.sources.git.session import remove_leftovers
from helvetia.programs import OWNER_VARIABLE


def local(repository, ref=None) -> SourceAddress:
    return SourceAddress(url=repository.url, ref=ref, trusted=True)


def remote(server, ref=None, name="app", **values) -> SourceAddress:
    return SourceAddress(url=server.url(name), ref=ref, **{"trusted": True, **values})


def names(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def tokens(folder: Path, token: str) -> list[Path]:
    return [
        path
        for path in folder.rglob("*")
        if path.is_file() and not path.is_symlink() and token.encode() in path.read_bytes()
    ]


@pytest.fixture(params=["path", "file-url", "http-2", "http-0"])
def address(request, repository, server):
    """The repository by every way there is to read it here."""
    if request.param == "path":
        return lambda ref=None: local(repository, ref)
    if request.param == "file-url":
        return lambda ref=None: SourceAddress(
            url=f"file://{repository.path}", ref=ref, trusted=True
        )
    server.protocol_2 = request.param == "http-2"
    return lambda ref=None: remote(server, ref)


@pytest.mark.parametrize(
    ("ref", "commit", "found"),
    [
        (None, "main", "main"),
        ("HEAD", "main", "main"),
        ("main", "main", "main"),
        ("dev", "main^", "dev"),
        ("refs/heads/dev", "main^", "refs/heads/dev"),
        ("v1", "main^", "v1"),
    ],
)
async def test_resolves_branches_and_tags(git_source, repository, address, ref, commit, found):
    revision = await git_source.resolve(address(ref))
    assert revision.sha == repository.git("rev-parse", commit)
    assert revision.ref == found
    assert revision.author == "Ada Lovelace"
    assert revision.message == ("Second: a subject" if commit == "main" else "First")


async def test_resolves_commits(git_source, repository, address):
    for commit in ("main", "main^"):
        sha = repository.git("rev-parse", commit)
        assert (await git_source.resolve(address(sha))).sha == sha
    tip = repository.git("rev-parse", "main")
    assert (await git_source.resolve(address(tip[:9]))).sha == tip


async def test_abbreviations_are_completed_only_where_they_can_be(git_source, repository, server):
    repository.git("tag", "-d", "v1")
    repository.git("branch", "-D", "dev")
    inner = repository.git("rev-parse", "main^")
    assert (await git_source.resolve(local(repository, inner[:7]))).sha == inner
    with pytest.raises(SourceError, match="no branch, tag or tip") as caught:
        await git_source.resolve(remote(server, inner[:7]))
    assert caught.value.hint == "Write the commit in full."


async def test_a_branch_goes_before_a_tag_and_an_abbreviation(git_source, repository):
    tip = repository.git("rev-parse", "main")
    repository.git("tag", "dev", tip)
    repository.git("branch", tip[:7], "main^")
    first = repository.git("rev-parse", "main^")
    assert (await git_source.resolve(local(repository, "dev"))).sha == first
    assert (await git_source.resolve(local(repository, tip[:7]))).sha == first


@pytest.mark.parametrize(
    "ref", ["feature#1", "feat/ünï", "$(id)", "x||id;#", "release/1.0", "a`id`", "'q'", "%2e%2e"]
)
async def test_unusual_branches(git_source, repository, address, checkout_folder, log, ref):
    repository.git("checkout", "-q", "-b", ref)
    sha = repository.commit("Odd", odd="1")
    revision = await git_source.resolve(address(ref))
    assert (revision.sha, revision.ref) == (sha, ref)
    await git_source.checkout(address(ref), revision, checkout_folder, log)
    assert names(checkout_folder) == {"first", "second", "odd"}


async def test_missing_ref_names_those_there_are(git_source, address):
    with pytest.raises(SourceError, match=r"branch `mian` does not exist in .*: main, dev") as got:
        await git_source.resolve(address("mian"))
    assert got.value.hint == "Did you mean `main`?"


async def test_many_branches_are_cut_and_the_close_one_is_among_them(git_source, repository):
    for number in range(40):
        repository.git("branch", f"b{number:02}")
    repository.git("branch", "zebra")
    with pytest.raises(SourceError) as caught:
        await git_source.resolve(local(repository, "zebr"))
    assert caught.value.message.endswith(", …")
    assert "zebra" in caught.value.message
    assert caught.value.message.count(",") == 10


async def test_missing_commit(git_source, address, checkout_folder, log):
    gone = "1234567890" * 4
    with pytest.raises(SourceError, match=r"is not in|is no commit"):
        await git_source.resolve(address(gone))
    with pytest.raises(SourceError, match="is not in"):
        await git_source.checkout(address(), Revision(sha=gone, ref="main"), checkout_folder, log)
    assert names(checkout_folder) == set()


async def test_a_tag_of_a_file_is_no_commit(git_source, repository, address):
    repository.git("tag", "blob", repository.git("rev-parse", "main:first"))
    with pytest.raises(SourceError, match=r"`blob` is no commit"):
        await git_source.resolve(address("blob"))


async def test_empty_repository(git_source, make_repository, server):
    empty = make_repository("empty")
    for address in (local(empty), remote(server, name="empty")):
        with pytest.raises(SourceError, match="is empty"):
            await git_source.resolve(address)


async def test_head_without_a_branch(git_source, repository, address):
    repository.git("symbolic-ref", "HEAD", "refs/heads/nothing")
    with pytest.raises(SourceError, match="no default branch; it has: dev, main"):
        await git_source.resolve(address())


async def test_detached_head(git_source, repository, address, checkout_folder, log):
    repository.git("checkout", "-q", "--detach", "main^")
    revision = await git_source.resolve(address())
    assert revision.ref == "HEAD"
    await git_source.checkout(address(), revision, checkout_folder, log)
    assert names(checkout_folder) == {"first"}


async def test_checks_out_exactly_the_commit(
    git_source, repository, address, checkout_folder, log, kernel
):
    (repository.path / "run").write_text("#!/bin/sh\n")
    (repository.path / "run").chmod(0o755)
    (repository.path / "to-run").symlink_to("run")
    repository.commit("Third")
    revision = await git_source.resolve(address("main"))
    repository.commit("Fourth", fourth="4")
    await git_source.checkout(address("main"), revision, checkout_folder, log)
    assert names(checkout_folder) == {"first", "second", "run", "to-run"}
    assert os.access(checkout_folder / "run", os.X_OK)
    assert not os.access(checkout_folder / "first", os.X_OK)
    assert (checkout_folder / "to-run").readlink() == Path("run")
    assert list(kernel.folder("git").iterdir()) == []
    assert revision.short in log.text


async def test_checks_out_a_commit_that_was_pushed_over(
    git_source, repository, address, checkout_folder, log
):
    """It stays readable from hosts that serve commits by SHA, else it is reported."""
    revision = await git_source.resolve(address("main"))
    repository.git("reset", "-q", "--hard", "main^")
    repository.git("reflog", "expire", "--expire=now", "--all")
    repository.git("gc", "-q", "--prune=now")
    with pytest.raises(SourceError, match="is not in") as caught:
        await git_source.checkout(address("main"), revision, checkout_folder, log)
    assert "force push" in caught.value.hint


async def test_old_commits_of_hosts_that_refuse_commits(
    git_source, repository, server, checkout_folder, log
):
    """Protocol 0: first the ref with some of its past, then everything."""
    server.protocol_2 = False
    sha = repository.git("rev-parse", "main")
    for number in range(60):
        repository.git("commit", "-q", "--allow-empty", "-m", str(number))
    await git_source.checkout(remote(server), Revision(sha=sha, ref="main"), checkout_folder, log)
    assert names(checkout_folder) == {"first", "second"}


async def test_hosts_that_refuse_commits_are_not_asked_for_everything(
    git_source, repository, server, checkout_folder, log
):
    server.protocol_2 = False
    sha = repository.git("rev-parse", "main")
    for number in range(10):
        repository.git("commit", "-q", "--allow-empty", "-m", str(number))
    bodies: list[bytes] = []

    async def read(request) -> None:
        body = await request.read()
        bodies.append(gzip.decompress(body) if body.startswith(b"\x1f\x8b") else body)

    server.on_request = read
    await git_source.checkout(remote(server), Revision(sha=sha, ref="main"), checkout_folder, log)
    assert names(checkout_folder) == {"first", "second"}
    assert any(b"deepen 50" in body for body in bodies)
    assert not any(b"deepen 2147483647" in body for body in bodies)


async def test_size_limit_of_the_past(
    git_source, repository, server, configure, checkout_folder, log
):
    """A small commit is no excuse for a large download."""
    server.protocol_2 = False
    configure(max_size_mib=1)
    sha = repository.git("rev-parse", "main")
    (repository.path / "large").write_bytes(os.urandom(3 << 20))
    repository.commit("Large")
    (repository.path / "large").unlink()
    repository.commit("Small again")
    with pytest.raises(SourceError, match="larger than 1 MiB"):
        await git_source.checkout(remote(server), Revision(sha=sha), checkout_folder, log)


async def test_sha256_repository(git_source, make_repository, server, checkout_folder, log):
    modern = make_repository("modern", "--object-format=sha256")
    sha = modern.commit("Long", file="x")
    assert len(sha) == 64
    for address in (local(modern), remote(server, name="modern")):
        assert (await git_source.resolve(address)).sha == sha
        assert (await git_source.resolve(SourceAddress(url=address.url, ref=sha, trusted=True))).sha
    await git_source.checkout(local(modern), Revision(sha=sha), checkout_folder, log)
    assert names(checkout_folder) == {"file"}


async def test_linked_work_tree_and_bare_repository(git_source, repository, tmp_path):
    sha = repository.git("rev-parse", "dev")
    repository.git("worktree", "add", "-q", str(tmp_path / "linked"), "dev")
    repository.git("clone", "-q", "--bare", "-b", "dev", ".", str(tmp_path / "bare"))
    for path in (tmp_path / "linked", tmp_path / "bare"):
        found = await git_source.resolve(SourceAddress(url=str(path), trusted=True))
        assert found.sha == sha


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
async def test_repository_of_another_user(git_source, repository, checkout_folder, log):
    for path in [repository.path, *repository.path.rglob("*")]:
        os.chown(path, 4242, 4242, follow_symlinks=False)
    revision = await git_source.resolve(local(repository))
    await git_source.checkout(local(repository), revision, checkout_folder, log)
    assert names(checkout_folder) == {"first", "second"}


@pytest.mark.parametrize("kind", ["folder", "nothing", "parent", "file"])
async def test_path_without_a_repository(git_source, repository, tmp_path, kind):
    (repository.path / "sub").mkdir()
    path = {
        "folder": tmp_path,
        "nothing": tmp_path / "nothing",
        "parent": repository.path / "sub",
        "file": repository.path / "first",
    }[kind]
    with pytest.raises(SourceError, match="is not a Git repository"):
        await git_source.resolve(SourceAddress(url=str(path), trusted=True))


async def test_submodules_are_told(git_source, repository, checkout_folder, log):
    (repository.path / ".gitmodules").write_text(
        '[submodule "lib"]\n\tpath = lib\n\turl = https://example.org/lib.git\n'
    )
    repository.git("update-index", "--add", "--cacheinfo", f"160000,{'ab' * 20},lib")
    repository.git("add", ".gitmodules")
    repository.git("commit", "-q", "-m", "With a submodule")
    revision = await git_source.resolve(local(repository))
    await git_source.checkout(local(repository), revision, checkout_folder, log)
    assert "Submodules are not fetched, their folders stay empty: lib" in log.text
    assert list((checkout_folder / "lib").iterdir()) == []


def process_texts() -> list[tuple[str, bytes]]:
    """What everybody on this machine can read of every process."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        for name in ("cmdline", "environ"):
            with contextlib.suppress(OSError):
                found.append((f"{process}/{name}", (process / name).read_bytes()))
    return found


@pytest.mark.parametrize("protocol_2", [True, False])
async def test_credentials_reach_the_host_and_nothing_else(
    git_source, repository, server, checkout_folder, log, kernel, protocol_2
):
    token = "s3cr3t-tok3n-0123456789"
    server.token = token
    server.protocol_2 = protocol_2
    hits: list[str] = []
    sampled = 0

    async def sample(request) -> None:
        nonlocal sampled
        for name, data in await asyncio.to_thread(process_texts):
            sampled += name.endswith("cmdline") and f":{server.port}/app".encode() in data
            if token.encode() in data:
                hits.append(name)

    server.on_request = sample
    address = remote(server, credentials={"username": "x-access-token", "password": token})
    revision = await git_source.resolve(address)
    await git_source.checkout(address, revision, checkout_folder, log)
    assert names(checkout_folder) == {"first", "second"}
    assert sampled > 4, "the sampler saw no git at work"
    assert hits == []
    assert tokens(checkout_folder, token) == []
    assert tokens(kernel.home, token) == []
    assert token not in log.text


async def test_without_or_with_wrong_credentials(git_source, repository, server):
    server.token = "right"
    with pytest.raises(SourceError, match="was not found, or it is private"):
        await git_source.resolve(remote(server))
    with pytest.raises(SourceError, match="refused the credentials") as caught:
        await git_source.resolve(remote(server, credentials={"password": "wr0ng-t0ken"}))
    assert "wr0ng" not in str(caught.value)


async def test_missing_repository_over_http(git_source, repository, server):
    with pytest.raises(SourceError, match="was not found, or it is private"):
        await git_source.resolve(remote(server, name="other"))


async def test_redirects_are_not_followed(git_source, repository, server, tmp_path):
    """Otherwise a public host could lead to an inner one, with or without the credentials."""
    server.redirect = f"http://localhost:{server.port}"
    with pytest.raises(SourceError, match="has moved"):
        await git_source.resolve(remote(server, credentials={"password": "token"}))
    assert len(server.requests) == 1


async def test_nobody_listens(git_source, unused_tcp_port):
    with pytest.raises(SourceError, match="does not answer"):
        await git_source.resolve(
            SourceAddress(url=f"http://127.0.0.1:{unused_tcp_port}/x", trusted=True)
        )


async def test_unknown_host(git_source):
    with pytest.raises(SourceError, match="is unknown"):
        await git_source.resolve(SourceAddress(url="https://nowhere.invalid/x.git"))


async def test_connects_to_the_checked_address(
    git_source, repository, server, monkeypatch, configure
):
    """Git asks no name server: this name exists for the check alone."""
    loop = asyncio.get_running_loop()
    asked: list[str] = []

    async def answer(host, port, **_):
        asked.append(host)
        return [(2, 1, 6, "", ("127.0.0.1", port))]

    monkeypatch.setattr(loop, "getaddrinfo", answer)
    configure(protocols=["http"], allow_private_hosts=True)
    found = await git_source.resolve(
        SourceAddress(url=server.url("app", host="only-in-the-check.test"))
    )
    assert found.sha == repository.git("rev-parse", "main")
    assert asked == ["only-in-the-check.test"]


async def test_https(
    git_source, repository, tls_server, monkeypatch, configure, checkout_folder, log
):
    """As for tenants: TLS, credentials and a pinned address together."""
    loop = asyncio.get_running_loop()

    async def answer(host, port, **_):
        return [(2, 1, 6, "", ("127.0.0.1", port))]

    monkeypatch.setattr(loop, "getaddrinfo", answer)
    configure(allow_private_hosts=True)
    tls_server.token = "t0ken"
    address = SourceAddress(
        url=tls_server.url("app", host="git.test"), credentials={"password": "t0ken"}
    )
    revision = await git_source.resolve(address)
    await git_source.checkout(address, revision, checkout_folder, log)
    assert names(checkout_folder) == {"first", "second"}
    with pytest.raises(SourceError, match=r"certificate of other\.test is not valid"):
        await git_source.resolve(SourceAddress(url=tls_server.url("app", host="other.test")))


def running(port: int) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        try:
            if any(f":{port}/" in word for word in process.cmdline()):
                found.append(process)
        except psutil.Error:
            continue
    return found


async def test_timeout_ends_the_whole_process_group(
    git_source, repository, server, configure, kernel
):
    configure(timeout_seconds=0.7)
    server.hang = True
    seen: list[int] = []

    async def look(request) -> None:
        seen.append(len(running(server.port)))

    server.on_request = look
    with pytest.raises(SourceError, match=r"longer than 0\.7 seconds"):
        await git_source.resolve(remote(server))
    assert seen, "git asked nothing"
    assert seen[0] >= 2, "git and its remote helper were not at work"
    async with asyncio.timeout(2):
        while running(server.port):
            await asyncio.sleep(0.02)
    assert list(kernel.folder("git").iterdir()) == []


async def test_cancelling_leaves_nothing(
    git_source, repository, server, checkout_folder, log, kernel
):
    server.hang = True
    asked = asyncio.Event()

    async def note(request) -> None:
        asked.set()

    server.on_request = note
    task = asyncio.create_task(
        git_source.checkout(
            remote(server), Revision(sha="ab" * 20, ref="main"), checkout_folder, log
        )
    )
    async with asyncio.timeout(10):
        await asked.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    async with asyncio.timeout(2):
        while running(server.port):
            await asyncio.sleep(0.02)
    assert list(kernel.folder("git").iterdir()) == []


@pytest.mark.parametrize("content", ["random", "zeros"])
async def test_size_limit(
    git_source, repository, server, configure, checkout_folder, log, kernel, content
):
    """Random bytes break the limit on the way, zeros only once they are unpacked."""
    data = os.urandom(3 << 20) if content == "random" else bytes(3 << 20)
    (repository.path / "large").write_bytes(data)
    sha = repository.commit("Large")
    configure(max_size_mib=1)
    for address in (local(repository), remote(server)):
        with pytest.raises(SourceError, match="larger than 1 MiB"):
            await git_source.checkout(address, Revision(sha=sha, ref="main"), checkout_folder, log)
        assert names(checkout_folder) == set()
    assert list(kernel.folder("git").iterdir()) == []


async def test_tree_bomb(git_source, repository, checkout_folder, log):
    """Ten levels of ten names for one file would be ten thousand million files."""
    blob = repository.git("rev-parse", "main:first")
    tree = repository.git("mktree", stdin=f"100644 blob {blob}\tx\n")
    for _ in range(10):
        lines = "".join(f"040000 tree {tree}\t{letter}\n" for letter in "abcdefghij")
        tree = repository.git("mktree", stdin=lines)
    sha = repository.git("commit-tree", tree, "-m", "Bomb")
    repository.git("branch", "bomb", sha)
    async with asyncio.timeout(20):
        with pytest.raises(SourceError, match="more than 200000 files"):
            await git_source.checkout(local(repository), Revision(sha=sha), checkout_folder, log)
    assert names(checkout_folder) == set()


async def test_check_and_claims(git_source):
    assert re.match(r"git \d", (await git_source.check()).reason)
    score = {
        url: git_source.claims(url).score
        for url in (
            "https://example.org/a/b",
            "https://example.org/a/b.git",
            "git@example.org:a/b.git",
            "/srv/app",
            "upload:abc",
            "ext::sh -c id",
            "",
        )
    }
    assert list(score.values()) == [50, 60, 60, 40, 0, 0, 0]


async def test_a_malformed_revision_is_refused(git_source, repository, checkout_folder, log):
    for revision in (Revision(sha="--help"), Revision(sha="a" * 40, ref="--upload-pack=x")):
        with pytest.raises(InvalidInput, match="ref"):
            await git_source.checkout(local(repository), revision, checkout_folder, log)


async def test_leftovers_of_crashes_are_removed_at_once(git_source, tmp_path):
    """A process that died holds no lock; what git was doing for it ends with its folder."""
    dead, living, other = (tmp_path / name for name in ("work-dead", "work-living", "known_hosts"))
    for path in (dead, other):
        path.mkdir()
    (dead / "password").write_text("secret")
    git = await asyncio.create_subprocess_exec(
        "sleep", "60", env={**os.environ, OWNER_VARIABLE: "git:work-dead"}
    )
    try:
        async with file_lock(living / "lock"):
            remove_leftovers(tmp_path)
            assert {path.name for path in tmp_path.iterdir()} == {"work-living", "known_hosts"}
        assert await asyncio.wait_for(git.wait(), 10) == -signal.SIGKILL
    finally:
        if git.returncode is None:
            git.kill()


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"tree x\nauthor A B <a@b> 1 +0\n\nOne\ntwo\n\nbody", ("A B", "One two")),
        (b"author J\xf6rg <a> 1 +0\nencoding ISO-8859-1\n\n\xfc", ("Jörg", "ü")),
        (b"author \xff <a> 1 +0\nencoding nonsense\n\n\xff", ("\ufffd", "\ufffd")),
        (b"tree x\n\n", ("", "")),
    ],
)
def test_parses_commits(data, expected):
    assert parse_commit(data) == expected
