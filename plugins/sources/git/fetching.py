"""From an exact commit to its objects, in as few steps as the host allows."""

from __future__ import annotations

from helvetia import SourceError

from .failures import explain
from .session import GitSession

_REFUSED = (
    "unadvertised object",
    "is not valid",
    "not valid",
    "couldn't find remote ref",
    "no such ref",
)
_INFINITE = 2147483647


async def fetch_commit(
    session: GitSession, sha: str, ref: str, *, only_commit: bool = False
) -> None:
    """Bring a commit into the session's repository.

    Hosts that refuse a commit by its SHA (protocol 0) are asked for the ref with some of its
    past, then for everything.

    Args:
        session: where it goes.
        sha: the commit.
        ref: where it was found, to look there again; may be empty.
        only_commit: leave its files out if the host can do so.

    Raises:
        SourceError: the host fails, or the commit is no longer there.
    """
    await _make_repository(session, sha)
    filters = ("--filter=tree:0",) if only_commit else ()
    attempts: list[tuple[int, tuple[str, ...], tuple[str, ...]]] = [(1, filters, (sha,))]
    attempts += [(50, (), (name,)) for name in _full_names(ref)]
    attempts.append((_INFINITE, (), ("+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*")))
    for depth, options, refspecs in attempts:
        fetched = await session.run(
            f"--git-dir={session.repository}",
            "fetch",
            "--quiet",
            "--no-tags",
            "--no-recurse-submodules",
            "--no-write-fetch-head",
            f"--depth={depth}",
            *options,
            "--end-of-options",
            session.remote.url,
            *refspecs,
        )
        # Asked for by its SHA it came, or git failed.
        if (refspecs == (sha,) and not fetched.code) or await _has(session, sha):
            return
        errors = fetched.errors.lower()
        if "not our ref" in errors:
            # The host looked it up and knows no such commit; its branches lead to none either.
            break
        if fetched.code and not any(mark in errors for mark in _REFUSED):
            raise explain(fetched.errors, session.remote)
    raise SourceError(
        f"The commit {sha} is not in {session.remote.url}.",
        hint="A force push may have replaced it: deploy the branch again.",
    )


async def _make_repository(session: GitSession, sha: str) -> None:
    kind = "sha256" if len(sha) == 64 else "sha1"
    made = await session.run(
        "init", "--quiet", "--bare", "--template=", f"--object-format={kind}",
        str(session.repository),
    )  # fmt: skip
    if made.code:
        raise explain(made.errors, session.remote)


async def _has(session: GitSession, sha: str) -> bool:
    found = await session.run(f"--git-dir={session.repository}", "cat-file", "-e", sha)
    return found.code == 0


def _full_names(ref: str) -> tuple[str, ...]:
    if not ref or ref.startswith("refs/") or ref == "HEAD":
        return (ref,) if ref else ()
    return (f"refs/heads/{ref}", f"refs/tags/{ref}")
