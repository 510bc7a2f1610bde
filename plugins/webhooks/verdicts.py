"""Whether a push is deployed, and why not: decided from the push and the service alone."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from helvetia.kernel.models import Desired, Service

from .forges import Push

RECEIVED = "received"
"""The verdict of a delivery that a plugin has yet to look at."""
LISTENED = frozenset({"pull_request"})
"""Events that plugins may listen to, by the entry `webhook.received` of the journal."""
_BRANCH = "refs/heads/"
# GitHub's own list, and what people of deployments write.
_SKIP = re.compile(
    r"\[(skip ci|ci skip|no ci|skip actions|actions skip|skip cd|skip deploy)\]", re.IGNORECASE
)
_SCP = re.compile(r"(?:[^@/]+@)?([^/:]+):(?!//)(.+)")
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*://(?:[^@/]*@)?", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What is done about a delivery: `sha` is deployed, or nothing is if it is None."""

    reason: str
    sha: str | None = None


def judge(push: Push, service: Service, *, paths: Sequence[str], repository_id: str) -> Verdict:
    """Decide what is done about a push.

    Args:
        push: what the Git host says.
        service: whose hook it came to.
        paths: globs of files that matter; none is all. A `!` before one takes files out again.
        repository_id: the host's number of the service's repository, "" if it is not known.
    """
    if not is_of(push, service.source_url, repository_id):
        return Verdict(reason=f"it is a push to {push.urls[0]}, not to this service's repository")
    if not push.ref.startswith(_BRANCH):
        return Verdict(reason=f"`{push.ref}` is no branch; only branches are followed")
    branch = push.ref.removeprefix(_BRANCH)
    tracked = service.source_ref or push.default_branch
    if not tracked:
        return Verdict(
            reason="the service follows the default branch, and the push does not say which one "
            "that is; give the service a ref"
        )
    if branch != tracked.removeprefix(_BRANCH):
        return Verdict(reason=f"branch `{branch}` is not tracked, the service follows `{tracked}`")
    if push.sha is None:
        return Verdict(reason=f"branch `{branch}` was deleted; what runs goes on")
    if marker := _SKIP.search(push.message):
        return Verdict(reason=f"the newest commit says {marker[0]}")
    if service.desired is not Desired.RUNNING:
        return Verdict(reason=f"the service is {service.desired.value}; start it to follow pushes")
    if push.changed is not None and not is_touched(push.changed, paths):
        return Verdict(reason=f"nothing changed in {', '.join(paths)}")
    return Verdict(reason=f"push to `{branch}`", sha=push.sha)


def is_of(push: Push, source_url: str, repository_id: str) -> bool:
    """Tell whether a push is one to a repository; names may differ in case, or be former ones.

    A push that does not say where it comes from is believed: its sender knows the secret of
    this one service.
    """
    if not push.urls or (repository_id and push.repository_id == repository_id):
        return True
    return is_named(push, source_url)


def is_named(push: Push, source_url: str) -> bool:
    """Tell whether one of the addresses in a push is the given one."""
    return is_one_of(push.urls, source_url)


def is_one_of(urls: Collection[str], source_url: str) -> bool:
    """Tell whether one of some addresses is the given one, however they are written."""
    return _address(source_url) in {_address(url) for url in urls}


def is_touched(changed: Collection[str], paths: Sequence[str]) -> bool:
    """Tell whether one of the files is among the wanted ones; the last glob that matches counts."""
    return not paths or any(_is_wanted(name, paths) for name in changed)


def _is_wanted(name: str, paths: Sequence[str]) -> bool:
    wanted = paths[0].startswith("!")
    for path in paths:
        glob = path.removeprefix("!").strip("/")
        if fnmatch.fnmatchcase(name, glob) or name.startswith(f"{glob}/"):
            wanted = not path.startswith("!")
    return wanted


def _address(url: str) -> str:
    """Return host and path of a repository, however it is written."""
    if (match := _SCHEME.match(url)) is None and (scp := _SCP.fullmatch(url)):
        url = f"{scp[1]}/{scp[2]}"
    elif match is not None:
        url = url[match.end() :]
    return url.rstrip("/").removesuffix(".git").casefold()
