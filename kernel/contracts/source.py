"""Sources turn an address and a ref into an exact commit, and the commit into files."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from .base import Detection, LogSink, Provider


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceAddress:
    """Where a service comes from.

    Attributes:
        url: a repository address, a local path, or `upload:<digest>`.
        ref: branch, tag or commit; None for the default branch.
        trusted: the person behind the request may name paths and hosts of this machine
            (an operator at the command line, never a tenant through the API).
        service_id: for which service; "" if there is none yet.
        user_id: who asked for it; "" if it was no person.
        options: of the source, as the service's settings have them.
    """

    url: str
    ref: str | None = None
    trusted: bool = False
    credentials: dict[str, str] = field(default_factory=dict, repr=False)
    service_id: str = ""
    user_id: str = ""
    options: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Revision:
    """An exact commit. `sha` never moves; `ref` only tells how it was found."""

    sha: str
    ref: str = ""
    message: str = ""
    author: str = ""

    @property
    def short(self) -> str:
        """The first seven digits, as people write them."""
        return self.sha[:7]


class Source(Provider):
    """Reads repositories.

    Required: `claims`, `resolve`, `checkout`. Optional: `collect`; `options`, what a service's
    settings may say to it, with a line of help for each.

    A source never starts a shell, never lets a URL or ref stand where an option could stand,
    and never puts a credential into an argument list, a URL, a file of the checkout or a log.
    """

    options: Mapping[str, str] = {}

    @abstractmethod
    def claims(self, url: str) -> Detection:
        """Say how sure the source is that `url` is its own. Only looks at the text."""

    @abstractmethod
    async def resolve(self, address: SourceAddress) -> Revision:
        """Find the exact commit behind the address.

        Raises:
            InvalidInput: the URL or the ref is malformed or not allowed.
            SourceError: the repository does not answer or has no such ref.
        """

    @abstractmethod
    async def checkout(
        self, address: SourceAddress, revision: Revision, folder: Path, log: LogSink
    ) -> None:
        """Put exactly the files of `revision` into `folder`, which exists and is empty.

        No version-control metadata is left in it and no symbolic link in it leads out of it.

        Raises:
            SourceError: the commit is gone or cannot be read.
        """

    async def collect(self, used: Collection[str]) -> None:
        """Remove what is kept for addresses other than the `used` ones; called now and then.

        What came in the last day stays: its service may be about to be created.
        """
