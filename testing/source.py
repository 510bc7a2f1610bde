"""What every source promises."""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from helvetia.kernel.contracts.base import Detection
from helvetia.kernel.contracts.source import Revision, Source, SourceAddress
from helvetia.kernel.errors import InvalidInput, SourceError

from .base import Conformance, Lines, cancel_midway, read_files, refusal, write_files
from .kernel import TestKernel

FILES = {
    "index.html": "<h1>Hello</h1>\n",
    "a folder/[id] ü.txt": "odd name\n",
    "run": "#!/bin/sh\n",
}
_REFS = ("--upload-pack=touch {}", "x||touch {}", "$(touch {})", "-x", "a\nb", "a\0b", "../../x")
_URLS = ("ext::sh -c touch% {}", "--upload-pack=touch {}", "$(touch {})", "a\nb", "a\0b", "")
_KILLED_AFTER_SECONDS = 0.02
_GIT = {
    "PATH": os.environ.get("PATH", os.defpath),
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_AUTHOR_NAME": "Ada",
    "GIT_AUTHOR_EMAIL": "ada@example.org",
    "GIT_COMMITTER_NAME": "Ada",
    "GIT_COMMITTER_EMAIL": "ada@example.org",
}


@dataclass(frozen=True, kw_only=True)
class Sample:
    """Something that the source reads.

    Attributes:
        address: where it is.
        files: what is there.
        unknown: a well-formed address or ref where there is nothing.
        change: puts other files at the same address; None if an address always has the same.
        escape: an address whose files hold a link that leads out of the checkout.
    """

    address: SourceAddress
    files: Mapping[str, str]
    unknown: SourceAddress
    change: Callable[[], object] | None = None
    escape: SourceAddress | None = None


class SourceConformance(Conformance):
    """The suite for sources. Override `sample` if the source does not read Git repositories."""

    contract = Source
    helvetia_family = "source"

    @pytest_asyncio.fixture
    async def sample(self, provider: Any, tmp_path: Path) -> Sample:
        """A Git repository on this machine, if the source takes such a thing."""
        folder = write_files(tmp_path / "repository", FILES)
        if not provider.claims(str(folder)).score:
            pytest.skip("it does not claim the path of a Git repository: override `sample`")
        _git(folder, "init", "-q", "-b", "main")
        _commit(folder)
        _git(folder, "checkout", "-q", "-b", "escape")
        (folder / "out").symlink_to("/etc/hostname")
        _commit(folder)
        _git(folder, "checkout", "-q", "main")

        def change() -> None:
            write_files(folder, {"index.html": "newer\n", "more": "more\n"})
            _commit(folder)

        address = SourceAddress(url=str(folder), trusted=True)
        return Sample(
            address=address,
            files=FILES,
            unknown=replace(address, ref="no-such-branch"),
            change=change,
            escape=replace(address, ref="escape"),
        )

    async def test_claims(self, provider: Any, sample: Sample) -> None:
        """Claims its own addresses and no nonsense, with a reason, from the text alone."""
        assert 0 < provider.claims(sample.address.url).score <= 100
        for url in (*_URLS, "no-such-scheme:x"):
            found = provider.claims(url)
            assert isinstance(found, Detection)
            assert found.score == 0, url
            assert found.reason.strip()

    async def test_exact(self, ready: Any, sample: Sample, tmp_path: Path) -> None:
        """Finds the exact revision and checks out exactly its files, with nothing beside them."""
        revision = await ready.resolve(sample.address)
        assert revision.sha == (await ready.resolve(sample.address)).sha
        folder = await self._checkout(ready, sample.address, revision, tmp_path / "checkout")
        assert read_files(folder) == encoded(sample.files)
        for name, text in sample.files.items():
            assert os.access(folder / name, os.X_OK) == text.startswith("#!"), f"mode of {name}"

    async def test_pinned(self, ready: Any, sample: Sample, tmp_path: Path) -> None:
        """Checks out the old revision, or says it is gone, when the branch has moved on."""
        if sample.change is None:
            return  # the address itself says which files it has
        old = await ready.resolve(sample.address)
        sample.change()
        new = await ready.resolve(sample.address)
        assert new.sha != old.sha, "it did not see the newer revision"
        folder = tmp_path / "old"
        if not await refusal(self._checkout(ready, sample.address, old, folder), SourceError):
            assert read_files(folder) == encoded(sample.files)

    async def test_unknown(self, ready: Any, sample: Sample, tmp_path: Path) -> None:
        """Says with SourceError that there is no such ref or commit, in a person's words."""
        with pytest.raises(SourceError) as unknown:
            await ready.resolve(sample.unknown)
        assert unknown.value.message.strip()
        revision = await ready.resolve(sample.address)
        gone = replace(revision, sha="".join("0" for _ in revision.sha))
        with pytest.raises(SourceError):
            await self._checkout(ready, sample.address, gone, tmp_path / "gone")

    async def test_hostile(self, ready: Any, sample: Sample, tmp_path: Path) -> None:
        """Refuses malformed addresses and refs with InvalidInput; nothing of them is executed."""
        canary = tmp_path / "canary"
        for text in _URLS:
            with pytest.raises(InvalidInput):
                await ready.resolve(replace(sample.address, url=text.format(canary)))
        plain = await ready.resolve(sample.address)
        for text in _REFS:
            try:
                # A source without refs may pass over them.
                found = await ready.resolve(replace(sample.address, ref=text.format(canary)))
                assert found.sha == plain.sha
            except (InvalidInput, SourceError):
                continue
        assert not canary.exists(), "a ref or an address was executed"

    async def test_untrusted(self, ready: Any, sample: Sample, tmp_path: Path) -> None:
        """Lets nobody name paths of this machine who is not trusted."""
        is_path = sample.address.url.startswith(("/", "file:"))
        url = sample.address.url if is_path else str(tmp_path)
        with pytest.raises(InvalidInput):
            await ready.resolve(SourceAddress(url=url, trusted=False))

    async def test_links(self, ready: Any, sample: Sample, tmp_path: Path) -> None:
        """Leaves no symbolic link in the checkout that leads out of it."""
        escape = sample.escape
        if escape is None:
            pytest.skip("the sample has no such link")
        folder = tmp_path / "escape"

        async def work() -> None:
            revision = await ready.resolve(escape)
            await self._checkout(ready, escape, revision, folder)

        if await refusal(work(), SourceError):
            return
        for path in folder.rglob("*"):
            assert path.resolve().is_relative_to(folder.resolve()), f"{path.name} leads out"

    async def test_secret(self, ready: Any, sample: Sample, tmp_path: Path) -> None:
        """Puts no credential into the checkout, the log, an error or a name."""
        secret = "s3cr3t-of-the-suite"  # noqa: S105
        address = replace(sample.address, credentials={"username": "ada", "password": secret})
        assert secret not in repr(address)
        log, folder = Lines(), tmp_path / "checkout"

        async def work() -> None:
            revision = await ready.resolve(address)
            await self._checkout(ready, address, revision, folder, log)

        refused = await refusal(work(), InvalidInput, SourceError)
        assert not refused or secret not in f"{refused.message}{refused.hint}"
        assert secret not in log.text
        assert not [name for name, data in read_files(folder).items() if secret.encode() in data]

    async def test_cancel(self, ready: Any, sample: Sample, tmp_path: Path) -> None:
        """Ends both verbs soon, cancelled or out of time: no program goes on, the next works."""
        await cancel_midway(ready.resolve(sample.address))
        revision = await ready.resolve(sample.address)
        work = self._checkout(ready, sample.address, revision, tmp_path / "cancelled")
        await cancel_midway(work)
        folder = await self._checkout(ready, sample.address, revision, tmp_path / "again")
        assert set(read_files(folder)) == set(sample.files)

    async def test_killed(
        self, ready: Any, kernel: TestKernel, sample: Sample, tmp_path: Path
    ) -> None:
        """What a checkout cut off by kill -9 left does not harm the next one."""
        revision = await ready.resolve(sample.address)
        folder = tmp_path / "killed"
        folder.mkdir()
        arguments = sample.address, revision, folder, Lines()
        async with self.killed_platform(ready, kernel, "checkout", *arguments, until="begun"):
            await asyncio.sleep(_KILLED_AFTER_SECONDS)  # somewhere in the middle
        again = await self._checkout(ready, sample.address, revision, tmp_path / "again")
        assert read_files(again) == encoded(sample.files)

    async def _checkout(
        self,
        source: Any,
        address: SourceAddress,
        revision: Revision,
        folder: Path,
        log: Lines | None = None,
    ) -> Path:
        await asyncio.to_thread(folder.mkdir)
        await source.checkout(address, revision, folder, log or Lines())
        return folder


def encoded(files: Mapping[str, str]) -> dict[str, bytes]:
    """Return files as `read_files` does."""
    return {name: text.encode() for name, text in files.items()}


def _git(folder: Path, *arguments: str) -> None:
    subprocess.run(["git", *arguments], cwd=folder, env=_GIT, check=True, capture_output=True)


def _commit(folder: Path) -> None:
    _git(folder, "add", "-A")
    _git(folder, "commit", "-q", "-m", "a commit")
