"""The source `github`: who may read, where the repository is now, and git for the rest."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

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
from helvetia.plugins.github.addresses import clone_url, repository_name
from helvetia.plugins.github.credentials import Reader, client_of, clone_token, find_reader
from helvetia.plugins.github.errors import GitHubDown, GitHubError, GitHubLimited, GitHubRefused
from helvetia.plugins.github.settings import GitHubSettings
from helvetia.plugins.sources.git import GitSource
from helvetia.plugins.sources.git.failures import AccessDenied, HostDown
from helvetia.plugins.sources.git.masking import NoLog

Result = TypeVar("Result")
Read = Callable[[SourceAddress, LogSink], Awaitable[Result]]
_PAUSES = (1.0, 4.0)
_MOVED = "has moved"


class GitHubSource(Source):
    """Reads repositories at GitHub by their https address, or by `owner/name`."""

    name = "github"
    options = GitSource.options

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel
        self._git = GitSource(kernel)

    async def check(self) -> Check:
        """Ask what it reads with."""
        return await self._git.check()

    def claims(self, url: str) -> Detection:
        """Claim what is on GitHub's host, and `owner/name`."""
        settings = self._settings
        name = repository_name(url, settings)
        if name is None:
            return Detection(score=0, reason=f"it is no repository at {settings.url}")
        return Detection(score=90, reason=f"it is the repository {name} at {settings.url}")

    async def resolve(self, address: SourceAddress) -> Revision:
        """Find the commit behind a branch, tag, commit or the default branch."""

        async def read(place: SourceAddress, _: LogSink) -> Revision:
            return await self._git.resolve(place)

        return await self._reading(address, NoLog(), read)

    async def checkout(
        self, address: SourceAddress, revision: Revision, folder: Path, log: LogSink
    ) -> None:
        """Fetch the commit without its past and write its files."""

        async def read(place: SourceAddress, log: LogSink) -> None:
            await self._git.checkout(place, revision, folder, log)

        await self._reading(address, log, read)

    @property
    def _settings(self) -> GitHubSettings:
        return self._kernel.section(GitHubSettings)

    async def _reading(self, address: SourceAddress, log: LogSink, read: Read[Result]) -> Result:
        """Read with a token; again with a new one, under a new name, or when GitHub is back.

        Raises:
            InvalidInput: it is no repository at GitHub.
            SourceError: it cannot be read, with the reason.
        """
        name = repository_name(address.url, self._settings)
        if name is None:
            raise InvalidInput("source", f"it is no repository at {self._settings.url}")
        try:
            reader = await find_reader(name, service_id=address.service_id, user_id=address.user_id)
            name = await self._present_name(name, reader)
            return await self._with_token(name, address, reader, log, read)
        except GitHubError as error:
            raise SourceError(error.message, hint=error.hint) from None

    async def _present_name(self, name: str, reader: Reader) -> str:
        """Return what a repository is called now, by its number if that is known.

        Nobody's requests are few: without a token only git is asked.
        """
        if reader.is_anonymous or not await clone_token(self._kernel, reader):
            return name
        path = f"/repositories/{reader.repository}" if reader.repository else f"/repos/{name}"
        try:
            async with client_of(self._kernel, reader) as client:
                return str((await client.get(path))["full_name"])
        except (GitHubDown, GitHubLimited):
            # Git may well answer; its own news is better than this.
            return reader.name
        except GitHubRefused as error:
            if error.answered != 404:
                raise
            raise SourceError(
                f"{name} is not at {self._settings.url}, or whoever connected it may not see it.",
                hint="Check the address and the access to the repository, then connect it again.",
            ) from None

    async def _with_token(
        self,
        name: str,
        address: SourceAddress,
        reader: Reader,
        log: LogSink,
        read: Read[Result],
    ) -> Result:
        renewed, pauses = False, list(_PAUSES)
        while True:
            token = await clone_token(self._kernel, reader, renew=renewed)
            place = self._place(name, address, token)
            try:
                return await read(place, log)
            except AccessDenied:
                if reader.installation is None or renewed:
                    raise
                renewed = True
            except HostDown as error:
                if not pauses:
                    raise
                log.line(f"{error.message} Trying again in {pauses[0]:g} s")
                await asyncio.sleep(pauses.pop(0))
            except SourceError as error:
                if _MOVED not in error.message or name != reader.name:
                    raise
                async with client_of(self._kernel, reader) as client:
                    found = await client.get(f"/repos/{name}")
                if found["full_name"] == name:
                    raise
                name = found["full_name"]
                log.line(f"The repository is called {name} now")

    def _place(self, name: str, address: SourceAddress, token: str | None) -> SourceAddress:
        """Return the address for git: of the operator's own GitHub, whatever network it is in."""
        credentials = {"username": "x-access-token", "password": token} if token else {}
        url = clone_url(name, self._settings)
        return replace(address, url=url, credentials=credentials, trusted=True)
