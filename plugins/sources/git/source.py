"""The source `git`: policy, time limit and order of the steps."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Collection
from dataclasses import replace
from pathlib import Path

from helvetia import (
    Check,
    Detection,
    InvalidInput,
    Kernel,
    LogSink,
    Revision,
    Source,
    SourceAddress,
    SourceError,
)

from .access import Access
from .addresses import SHA, Remote, check_ref, parse_address
from .extras import OPTIONS, check_options, find_pointers, refuse_pointers, some, submodule_urls
from .fetching import fetch_commit
from .lfs import LargeFiles
from .masking import NoLog, masked
from .network import admit
from .revisions import find_revision, git_folder
from .session import GitSession, open_session, remove_leftovers
from .settings import GitSettings
from .trees import TreeReader, empty, write_tree

_OLDEST = (2, 37)
_DEEPEST = 5
_MIB = 1024 * 1024


class GitSource(Source):
    """Reads any Git repository; github.com and the like may have better sources of their own."""

    name = "git"
    options = OPTIONS

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel

    async def setup(self) -> None:
        """Remove what crashes left behind."""
        await asyncio.to_thread(remove_leftovers, self._folder)

    async def collect(self, used: Collection[str]) -> None:
        """Remove what another worker left behind when it was killed; nothing else is kept."""
        await asyncio.to_thread(remove_leftovers, self._folder)

    async def check(self) -> Check:
        """Look for a git that can pin addresses."""
        try:
            process = await asyncio.create_subprocess_exec(
                "git", "--version", stdout=asyncio.subprocess.PIPE
            )
        except FileNotFoundError:
            return Check(ok=False, reason="git is not installed")
        said = (await process.communicate())[0].decode("utf-8", "replace")
        version = re.search(r"(\d+)\.(\d+)[.\d]*", said)
        if version is None or (int(version[1]), int(version[2])) < _OLDEST:
            return Check(ok=False, reason=f"git 2.37 or later is needed, this is: {said.strip()}")
        return Check(ok=True, reason=f"git {version[0]}")

    def claims(self, url: str) -> Detection:
        """Claim what is written like an address of a repository."""
        try:
            remote = parse_address(url)
        except InvalidInput as error:
            return Detection(score=0, reason=error.reason)
        if remote.protocol == "file":
            return Detection(score=40, reason="it is a path, perhaps of a repository")
        if remote.protocol == "ssh" or remote.url.endswith(".git"):
            return Detection(score=60, reason="it is written like the address of a repository")
        return Detection(score=50, reason="it is a URL, perhaps of a repository")

    async def resolve(self, address: SourceAddress) -> Revision:
        """Find the commit behind a branch, tag, commit or the default branch."""
        ref = address.ref or None
        if ref is not None:
            check_ref(ref)
        check_options(address.options)
        place = await self._with_credentials(address)

        async def read(_: LogSink) -> Revision:
            async with self._session(place) as session:
                return await find_revision(session, ref)

        return await masked(place.credentials, NoLog(), read)

    async def checkout(
        self, address: SourceAddress, revision: Revision, folder: Path, log: LogSink
    ) -> None:
        """Fetch the commit without its past and write its files."""
        if not SHA.fullmatch(revision.sha):
            raise InvalidInput("ref", "a commit is written as 40 or 64 hexadecimal digits")
        if revision.ref:
            check_ref(revision.ref)
        check_options(address.options)
        place = await self._with_credentials(address)

        async def read(log: LogSink) -> None:
            await self._checkout(place, revision, folder, log, depth=0)
            refuse_pointers(await asyncio.to_thread(find_pointers, folder), address.options)

        try:
            await masked(place.credentials, log, read)
        except BaseException:
            await asyncio.shield(asyncio.to_thread(empty, folder))
            raise

    async def _with_credentials(self, address: SourceAddress) -> SourceAddress:
        """Add what was given for the repository; submodules on its host are read with the same."""
        if address.credentials or not address.service_id:
            return address
        from .credentials.keeping import with_credentials

        return await with_credentials(self._kernel, address)

    async def _checkout(
        self, address: SourceAddress, revision: Revision, folder: Path, log: LogSink, *, depth: int
    ) -> None:
        settings = self._kernel.section(GitSettings)
        tree = TreeReader(max_files=settings.max_files, max_mib=settings.max_size_mib)
        async with self._session(address) as session:
            log.line(f"Fetching {revision.short} from {session.remote.url}")
            await fetch_commit(session, revision.sha, revision.ref)
            await write_tree(session, revision.sha, folder, tree, log)
            if address.options.get("lfs") == "true":
                is_private = address.trusted or settings.allow_private_hosts
                most = settings.max_size_mib * _MIB - tree.bytes
                files = LargeFiles(session, allow_private=is_private, most_bytes=most)
                await files.fetch(folder, log)
            urls: dict[str, str] = {}
            if tree.submodules and address.options.get("submodules") == "true":
                urls = await submodule_urls(session, folder, tree.submodules)
        if tree.submodules and not urls:
            log.line(
                f"Submodules are not fetched, their folders stay empty: {some(tree.submodules)}"
            )
        if urls and depth == _DEEPEST:
            raise SourceError(f"Submodules are nested more than {_DEEPEST} deep.")
        for path, url in urls.items():
            inner = Revision(sha=tree.submodules[path])
            place = replace(address, url=url, ref=None)
            await self._checkout(place, inner, folder / path, log, depth=depth + 1)

    @property
    def _folder(self) -> Path:
        return self._kernel.folder("git")

    @contextlib.asynccontextmanager
    async def _session(self, address: SourceAddress) -> AsyncIterator[GitSession]:
        settings = self._kernel.section(GitSettings)
        remote = parse_address(address.url)
        limit = asyncio.timeout(settings.timeout_seconds)
        try:
            async with limit:
                found = await admit(remote, address, settings)
                await _check_path(remote)
                access = Access(
                    credentials=address.credentials,
                    addresses=tuple(found),
                    ssh_key=settings.ssh_key if address.trusted else None,
                    known_hosts=settings.ssh_known_hosts or self._folder / "known_hosts",
                    pinned_hosts=settings.ssh_known_hosts is not None,
                )
                async with open_session(
                    self._folder, remote, access, limit_mib=settings.max_size_mib
                ) as session:
                    yield session
        except TimeoutError as error:
            if not limit.expired():
                raise
            raise SourceError(
                f"{remote.url} took longer than {settings.timeout_seconds:g} seconds.",
                hint="Try again later, or let an operator raise timeout_seconds of [git].",
            ) from error


async def _check_path(remote: Remote) -> None:
    if remote.protocol == "file" and not await asyncio.to_thread(_is_repository, remote):
        raise SourceError(
            f"{remote.url} is not a Git repository.",
            hint="Make it one with `git init` and a commit, or upload the folder.",
        )


def _is_repository(remote: Remote) -> bool:
    folder = git_folder(remote)
    # A linked work tree has a file that names the folder.
    return (folder / "HEAD").exists() or (folder.name == ".git" and folder.is_file())
