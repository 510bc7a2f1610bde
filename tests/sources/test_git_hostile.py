"""What strangers write into addresses, refs and repositories, and that none of it runs."""

from __future__ import annotations

import asyncio
import os
import shlex
import subprocess
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from helvetia import InvalidInput, Revision, SourceAddress, SourceError
from helvetia.plugins.sources.git.access import Access, write_access
from helvetia.plugins.sources.git.addresses import check_ref, parse_address
from helvetia.plugins.sources.git.network import is_public
from tests.hostile.tables import (
    ACCEPTED,
    ACCEPTED_REFS,
    CANARY,
    FORBIDDEN,
    MALFORMED,
    REFUSED_REFS,
)


@pytest.fixture(autouse=True)
def canary(tmp_path, monkeypatch):
    """Whatever runs `touch` in this folder, in $HOME or in the scratch folder is found."""
    monkeypatch.chdir(tmp_path)
    yield
    assert list(tmp_path.rglob(f"{CANARY}*")) == []


@pytest.mark.parametrize("trusted", [False, True])
@pytest.mark.parametrize("url", MALFORMED)
async def test_malformed_addresses(git_source, checkout_folder, log, url, trusted):
    address = SourceAddress(url=url, trusted=trusted)
    assert git_source.claims(url).score == 0
    with pytest.raises(InvalidInput) as caught:
        await git_source.resolve(address)
    assert caught.value.field == "source"
    assert "pw" not in str(caught.value)
    with pytest.raises(InvalidInput):
        await git_source.checkout(address, Revision(sha="a" * 40), checkout_folder, log)


@pytest.mark.parametrize(("url", "reason"), FORBIDDEN)
async def test_addresses_that_tenants_may_not_name(git_source, url, reason):
    with pytest.raises(InvalidInput, match=reason) as caught:
        await git_source.resolve(SourceAddress(url=url))
    assert caught.value.field == "source"


@pytest.mark.parametrize("url", ["https://127.0.0.1.nip/..", "https://127.0.0.1.invalid/x"])
async def test_names_that_look_like_addresses(git_source, url):
    with pytest.raises(SourceError, match="is unknown"):
        await git_source.resolve(SourceAddress(url=url))


async def test_a_name_that_leads_inside(git_source, monkeypatch):
    """One private answer among public ones is enough: git could take that one."""

    async def answer(host, port, **_):
        return [(2, 1, 6, "", (one, port)) for one in ("93.184.215.14", "169.254.169.254")]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", answer)
    with pytest.raises(InvalidInput, match="public network"):
        await git_source.resolve(SourceAddress(url="https://rebind.example/x"))


async def test_operators_reach_plain_http_on_loopback_only(git_source, server, repository):
    found = await git_source.resolve(SourceAddress(url=server.url("app"), trusted=True))
    assert found.sha == repository.git("rev-parse", "main")
    with pytest.raises(InvalidInput, match="not read over http"):
        await git_source.resolve(SourceAddress(url="http://10.255.255.1/x", trusted=True))


async def test_credentials_do_not_travel_in_clear(git_source, configure):
    configure(protocols=["http"])
    with pytest.raises(InvalidInput, match="unencrypted"):
        await git_source.resolve(
            SourceAddress(url="http://1.1.1.1/x", credentials={"password": "secret"})
        )


@pytest.mark.parametrize(("url", "expected"), ACCEPTED.items())
def test_accepted_addresses(url, expected):
    assert parse_address(url).url == expected


@pytest.mark.parametrize("ref", REFUSED_REFS)
async def test_refused_refs(git_source, repository, ref):
    with pytest.raises(InvalidInput) as caught:
        await git_source.resolve(SourceAddress(url=repository.url, ref=ref, trusted=True))
    assert caught.value.field == "ref"


@pytest.mark.parametrize("ref", ACCEPTED_REFS)
def test_accepted_refs(ref):
    check_ref(ref)


@pytest.mark.parametrize("ref", [f"$(touch${{IFS}}{CANARY})", "a;id", "'"])
async def test_refs_with_shell_signs_are_only_not_found(git_source, repository, server, ref):
    for url in (repository.url, server.url("app")):
        with pytest.raises(SourceError, match="does not exist"):
            await git_source.resolve(SourceAddress(url=url, ref=ref, trusted=True))


@settings(max_examples=150, deadline=None)
@given(st.text("ab/.-@{}~^:?*[\\ \x01\x7fü#lock", min_size=1, max_size=12))
@example("a.lock")
@example("a/.lock")
@example("@{")
def test_refs_are_judged_as_git_does(ref):
    done = subprocess.run(
        ["git", "check-ref-format", f"refs/heads/{ref}"],
        check=False,
        cwd="/",
        env={"PATH": os.environ["PATH"]},
    )
    try:
        check_ref(ref)
    except InvalidInput:
        accepted = False
    else:
        accepted = True
    # `--branch` adds the hyphen; as a flag it would also expand `@{-1}`.
    assert accepted == (done.returncode == 0 and not ref.startswith("-"))


@pytest.mark.parametrize(
    ("text", "public"),
    [
        ("1.1.1.1", True),
        ("140.82.121.4", True),
        ("2606:4700::1111", True),
        ("127.0.0.1", False),
        ("224.0.0.1", False),
        ("240.0.0.1", False),
        ("::ffff:1.1.1.1", True),
        ("::ffff:10.0.0.1", False),
        ("::127.0.0.1", False),
        ("fec0::1", False),
        ("ff02::1", False),
        ("64:ff9b:1::a00:1", False),
    ],
)
def test_public_addresses(text, public):
    assert is_public(text) is public


# --- what a repository or its surroundings try ---------------------------------------------


async def test_no_hook_template_or_configuration_runs(
    git_source, repository, server, checkout_folder, log, tmp_path, monkeypatch
):
    hook = f"#!/bin/sh\ntouch {tmp_path}/{CANARY}-hook\n"
    template = tmp_path / "template" / "hooks"
    template.mkdir(parents=True)
    for folder in (template, repository.path / ".git" / "hooks"):
        for name in ("post-checkout", "reference-transaction", "post-index-change", "pre-auto-gc"):
            folder.mkdir(exist_ok=True)
            (folder / name).write_text(hook)
            (folder / name).chmod(0o755)
    home = tmp_path / "home-of-user"
    home.mkdir()
    (home / ".gitconfig").write_text(
        f"[core]\n\thooksPath = {template}\n\tfsmonitor = {template}/post-checkout\n"
        f"[init]\n\ttemplateDir = {template.parent}\n"
        f'[filter "run"]\n\tsmudge = {template}/post-checkout\n'
        f"[uploadpack]\n\tpackObjectsHook = {template}/post-checkout\n"
    )
    for name, value in {
        "HOME": str(home),
        "XDG_CONFIG_HOME": str(home),
        "GIT_TEMPLATE_DIR": str(template.parent),
        "GIT_SSH_COMMAND": hook,
        "GIT_ASKPASS": str(template / "post-checkout"),
        "GIT_PROXY_COMMAND": str(template / "post-checkout"),
        "GIT_EXTERNAL_DIFF": str(template / "post-checkout"),
        "GIT_TRACE": str(tmp_path / f"{CANARY}-trace"),
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": "core.hooksPath",
        "GIT_CONFIG_VALUE_0": str(template),
    }.items():
        monkeypatch.setenv(name, value)
    repository.git("config", "filter.run.smudge", str(template / "post-checkout"))
    repository.git("config", "core.fsmonitor", str(template / "post-checkout"))
    repository.git("config", "core.sshCommand", str(template / "post-checkout"))
    for path in tmp_path.glob(f"{CANARY}*"):
        path.unlink()
    for url in (repository.url, server.url("app")):
        address = SourceAddress(url=url, trusted=True)
        folder = checkout_folder / url.rpartition(":")[2].replace("/", "-")
        folder.mkdir()
        revision = await git_source.resolve(address)
        await git_source.checkout(address, revision, folder, log)
        assert (folder / "second").read_text() == "2"


LINKS_OUT = {
    "absolute": {"link": "/etc/passwd"},
    "parent": {"link": "../secret"},
    "deep": {"a/b/link": "../../../secret"},
    "through": {"link": "first/../../secret"},
    "chain": {"up": "d/e/..", "d/e": "..", "link": "up/../.."},
    "loop": {"link": "other", "other": "link"},
    "in-again": {"link": "../checkout/first"},
    "root": {"link": "/"},
    "proc": {"link": "/proc/self/cwd/first"},
}


@pytest.mark.parametrize("links", LINKS_OUT.values(), ids=LINKS_OUT)
async def test_links_that_lead_out(git_source, repository, checkout_folder, log, links):
    for name, target in links.items():
        path = repository.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.symlink_to(target)
    sha = repository.commit("Links")
    address = SourceAddress(url=repository.url, trusted=True)
    with pytest.raises(SourceError, match="leads out of the repository") as caught:
        await git_source.checkout(address, Revision(sha=sha), checkout_folder, log)
    assert any(f"`{name}`" in caught.value.message for name in links)
    assert list(checkout_folder.iterdir()) == []


async def test_links_that_stay_inside(git_source, repository, checkout_folder, log):
    links = {
        "here": ".",
        "file": "first",
        "sub/up": "../first",
        "sub/round": "../sub/../first",
        "nowhere": "not/there",
        "through": "here/sub/up",
        "[id]": "./first",
        "-dash": "first",
    }
    for name, target in links.items():
        path = repository.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.symlink_to(target)
    sha = repository.commit("Links")
    address = SourceAddress(url=repository.url, trusted=True)
    await git_source.checkout(address, Revision(sha=sha), checkout_folder, log)
    assert {name: os.readlink(checkout_folder / name) for name in links} == links
    assert (checkout_folder / "through").read_text() == "2"


@pytest.mark.parametrize("name", [".git", ".GIT", "git~1", "..", "."])
async def test_trees_with_forbidden_names(git_source, repository, checkout_folder, log, name):
    """A tree made by hand may hold names that `git add` refuses."""
    blob = repository.git("rev-parse", "main:first")
    inner = repository.git("mktree", stdin=f"100755 blob {blob}\tpost-checkout\n")
    raw = f"40000 {name}\0".encode() + bytes.fromhex(inner)
    (repository.path / ".git" / "raw").write_bytes(raw)
    tree = repository.git("hash-object", "-w", "-t", "tree", "--literally", ".git/raw")
    sha = repository.git("commit-tree", tree, "-m", "Forbidden")
    repository.git("branch", "forbidden", sha)
    address = SourceAddress(url=repository.url, trusted=True)
    with pytest.raises(SourceError):
        await git_source.checkout(address, Revision(sha=sha), checkout_folder, log)
    assert list(checkout_folder.iterdir()) == []
    assert not (checkout_folder.parent / "post-checkout").exists()


# --- credentials ----------------------------------------------------------------------------


def askpass(scratch: Path, prompt: str, **credentials: str) -> str:
    scratch.mkdir(exist_ok=True)
    remote = parse_address("https://example.org:8443/a/b")
    _, variables = write_access(scratch, remote, Access(credentials=credentials))
    done = subprocess.run(
        [variables["GIT_ASKPASS"], prompt], check=False, capture_output=True, text=True
    )
    return done.stdout


@pytest.mark.parametrize(
    "prompt",
    [
        "Password for 'https://x-access-token@evil.example': ",
        "Password for 'https://x-access-token@example.org': ",
        "Password for 'https://x-access-token@example.org:8443.evil.example': ",
        "Password for 'https://evil@example.org:8443': ",
        "Password for 'http://x-access-token@example.org:8443': ",
        "Username for 'https://example.org:8443': ",
        "Enter passphrase for key '/root/.ssh/id_ed25519': ",
        "",
        "*",
    ],
)
def test_askpass_answers_no_other_question(tmp_path, prompt):
    assert askpass(tmp_path / "scratch", prompt, password="token") == ""


@pytest.mark.parametrize("password", ["plain", "$(id)", "a'b\"c\\d", "-n", "ünï", "%s\\n", "a b"])
def test_askpass_answers_the_one_question(tmp_path, password):
    prompt = "Password for 'https://ada@example.org:8443': "
    found = askpass(tmp_path / "scratch", prompt, username="ada", password=password)
    assert found == password + "\n"
    assert (tmp_path / "scratch" / "password").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    "credentials",
    [
        {"password": "a\nb"},
        {"password": "a\0b"},
        {"username": "a\nb", "password": "x"},
        {"username": 'a"\n[core]', "password": "x"},
        {"username": 'a" b', "password": "x"},
    ],
)
def test_credentials_that_could_break_out(tmp_path, credentials):
    with pytest.raises(InvalidInput) as caught:
        askpass(tmp_path / "scratch", "", **credentials)
    assert caught.value.field == "credentials"


def test_ssh_without_a_key_takes_none_of_the_platform(tmp_path):
    remote = parse_address("git@example.org:a/b.git")
    _, variables = write_access(tmp_path, remote, Access(known_hosts=tmp_path / "known"))
    command = shlex.split(variables["GIT_SSH_COMMAND"])
    assert {"IdentityFile=none", "IdentityAgent=none", "HostKeyAlias=example.org"} <= set(command)


async def test_the_key_of_the_operator_is_not_lent_to_tenants(git_source, monkeypatch, configure):
    lent: list[Path | None] = []

    def refuse(folder, remote, access, **_):
        lent.append(access.ssh_key)
        raise SourceError("seen")

    monkeypatch.setattr("helvetia.plugins.sources.git.source.open_session", refuse)
    configure(protocols=["ssh"], allow_private_hosts=True, ssh_key="/keys/operator")
    for trusted in (True, False):
        with pytest.raises(SourceError, match="seen"):
            await git_source.resolve(SourceAddress(url="git@127.0.0.1:a", trusted=trusted))
    assert lent == [Path("/keys/operator"), None]


def test_ssh_command(tmp_path):
    """SSH gets the checked address, the host's own name for its key, and no other options."""
    remote = parse_address("ssh://git@example.org:2222/a")
    access = Access(
        credentials={"private_key": "KEY"},
        addresses=("93.184.215.14",),
        known_hosts=tmp_path / "known hosts",
        pinned_hosts=True,
    )
    text, variables = write_access(tmp_path, remote, access)
    command = variables["GIT_SSH_COMMAND"]
    options = subprocess.run(
        ["sh", "-c", f"{command} -G -p 2222 git@example.org"],
        check=True, capture_output=True, text=True,
    ).stdout.lower().splitlines()  # fmt: skip
    assert text == ""
    assert {
        "hostname 93.184.215.14",
        "hostkeyalias [example.org]:2222",
        "batchmode yes",
        "stricthostkeychecking true",
        "identitiesonly yes",
        "port 2222",
        f"identityfile {tmp_path}/key".lower(),
        f"userknownhostsfile {tmp_path}/known hosts".lower(),
    } <= {line.replace('"', "") for line in options}
    assert (tmp_path / "key").read_text() == "KEY\n"
    assert (tmp_path / "key").stat().st_mode & 0o777 == 0o600
