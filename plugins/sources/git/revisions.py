"""From a ref to an exact commit."""

from __future__ import annotations

import difflib
import hashlib
import re
from dataclasses import dataclass, field
from pathlib import Path

from helvetia import Revision, SourceError

from .addresses import SHA, Remote
from .failures import explain
from .fetching import fetch_commit
from .session import GitSession, Output

_ABBREVIATED = re.compile(r"[0-9a-f]{7,39}")
_HEADS = "refs/heads/"
_TAGS = "refs/tags/"
_SHOWN = 10


@dataclass(slots=True)
class Listing:
    """The refs of a repository; annotated tags stand for the commits they point at."""

    refs: dict[str, str] = field(default_factory=dict)
    default: str = ""

    @classmethod
    def parse(cls, text: str) -> Listing:
        """Read the output of `git ls-remote --symref`."""
        listing = cls()
        for line in text.splitlines():
            value, _, name = line.partition("\t")
            if value.startswith("ref: ") and name == "HEAD":
                listing.default = value.removeprefix("ref: ")
            elif SHA.fullmatch(value):
                listing.refs[name.removesuffix("^{}")] = value
        return listing

    def find(self, ref: str) -> str | None:
        """Return the SHA behind a branch, else a tag, else a full name of a ref."""
        for name in (f"{_HEADS}{ref}", f"{_TAGS}{ref}"):
            if name in self.refs:
                return self.refs[name]
        return self.refs.get(ref) if ref.startswith("refs/") else None

    def branches(self) -> list[str]:
        """Return the short names of the branches, the default one first."""
        names = [name.removeprefix(_HEADS) for name in self.refs if name.startswith(_HEADS)]
        default = self.default.removeprefix(_HEADS)
        return sorted(names, key=lambda name: (name != default, name))


async def find_revision(session: GitSession, ref: str | None) -> Revision:
    """Find the exact commit behind `ref`, or behind the default branch.

    Raises:
        SourceError: the repository cannot be read or has no such ref.
    """
    if ref is not None and SHA.fullmatch(ref):
        return await _described(session, ref, ref="")
    output = await session.run("ls-remote", "--symref", "--", session.remote.url)
    if output.code:
        raise explain(output.errors, session.remote)
    listing = Listing.parse(output.stdout.decode("utf-8", "replace"))
    if not listing.refs:
        raise SourceError(
            f"{session.remote.url} is empty.", hint="Push a commit to it and try again."
        )
    if ref is None or ref == "HEAD":
        return await _default(session, listing)
    sha = listing.find(ref)
    if sha is None and _ABBREVIATED.fullmatch(ref):
        sha = await _complete(session, listing, ref)
        return await _described(session, sha, ref="")
    if sha is None:
        raise _no_such_ref(session.remote, listing, ref)
    return await _described(session, sha, ref=ref)


async def _default(session: GitSession, listing: Listing) -> Revision:
    sha = listing.refs.get("HEAD")
    if sha is None:
        raise SourceError(
            f"{session.remote.url} has no default branch; it has: {_names(listing, '')}.",
            hint="Name the branch.",
        )
    return await _described(session, sha, ref=listing.default.removeprefix(_HEADS) or "HEAD")


async def _complete(session: GitSession, listing: Listing, short: str) -> str:
    """Complete an abbreviated SHA: by all commits of a local repository, else by the refs."""
    if session.remote.protocol == "file":
        folder = git_folder(session.remote)
        output = await session.run(
            f"--git-dir={folder}", "rev-parse", "--verify", "--quiet", f"{short}^{{commit}}"
        )
        found = {output.stdout.decode().strip()} if output.code == 0 else set()
    else:
        found = {sha for sha in listing.refs.values() if sha.startswith(short)}
    if len(found) == 1:
        return found.pop()
    problem = "stands for several commits" if found else "is no branch, tag or tip of a branch"
    raise SourceError(
        f"`{short}` {problem} in {session.remote.url}.", hint="Write the commit in full."
    )


async def _described(session: GitSession, sha: str, *, ref: str) -> Revision:
    if session.remote.protocol == "file":
        arguments = [f"--git-dir={git_folder(session.remote)}"]
    else:
        # The commit alone: a host that can filter sends no files at all.
        await fetch_commit(session, sha, ref, only_commit=True)
        arguments = [f"--git-dir={session.repository}"]
    arguments += ["--no-replace-objects", "cat-file", "commit", f"{sha}^{{commit}}"]
    output = await session.run(*arguments, output=Output())
    if output.code:
        raise SourceError(f"`{ref or sha}` is no commit in {session.remote.url}.")
    data = bytes(output.stdout)
    author, message = parse_commit(data)
    return Revision(sha=_name_of(data, like=sha), ref=ref, message=message, author=author)


def _name_of(commit: bytes, *, like: str) -> str:
    """Return the SHA of a raw commit; git makes it of the commit and its length."""
    made = hashlib.sha256 if len(like) == 64 else hashlib.sha1
    return made(b"commit %d\0" % len(commit) + commit).hexdigest()


def parse_commit(data: bytes) -> tuple[str, str]:
    """Return the author's name and the subject of a raw commit."""
    head, _, body = data.partition(b"\n\n")
    encoding = "utf-8"
    author = b""
    for line in head.split(b"\n"):
        key, _, value = line.partition(b" ")
        if key == b"author":
            author = value.rpartition(b" <")[0]
        elif key == b"encoding":
            encoding = value.decode("ascii", "replace")
    subject = body.strip().partition(b"\n\n")[0].replace(b"\n", b" ")
    try:
        return author.decode(encoding, "replace"), subject.decode(encoding, "replace")
    except LookupError:
        return author.decode("utf-8", "replace"), subject.decode("utf-8", "replace")


def git_folder(remote: Remote) -> Path:
    """Return the metadata folder of a local repository, with or without a work tree."""
    inner = Path(remote.url) / ".git"
    return inner if inner.exists() else Path(remote.url)


def _no_such_ref(remote: Remote, listing: Listing, ref: str) -> SourceError:
    close = difflib.get_close_matches(ref, [*listing.branches(), *_tags(listing)], n=1)
    return SourceError(
        f"branch `{ref}` does not exist in {remote.url}; it has: {_names(listing, ref)}",
        hint=f"Did you mean `{close[0]}`?" if close else "Push the branch or name another one.",
    )


def _tags(listing: Listing) -> list[str]:
    return [name.removeprefix(_TAGS) for name in listing.refs if name.startswith(_TAGS)]


def _names(listing: Listing, ref: str) -> str:
    names = listing.branches()
    close = difflib.get_close_matches(ref, names, n=3) if len(names) > _SHOWN else []
    shown = list(dict.fromkeys([*close, *names]))[:_SHOWN]
    return ", ".join(shown) + (", …" if len(names) > len(shown) else "") or "no branches"
