"""What a Git host says of a pull request."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from helvetia.kernel.http.problems import BadRequest

_SHA = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?")
_URLS = ("clone_url", "ssh_url", "git_url", "html_url")


@dataclass(frozen=True, slots=True, kw_only=True)
class PullRequest:
    """A pull request.

    Attributes:
        action: what happened to it, as `opened`.
        sha: the commit that is proposed.
        target: the branch it is to be merged into.
        is_fork: it comes from another repository, or from one that is gone.
        author: the login of whoever opened it.
        sender: the login of whoever did what the event tells of, "" if it is not said.
        urls: every address by which the host calls the repository it is for.
        repository_id: the host's number of that; "" if it is not said.
    """

    action: str
    number: int
    sha: str
    branch: str
    target: str
    title: str
    author: str
    sender: str
    is_fork: bool
    is_draft: bool
    is_closed: bool
    urls: tuple[str, ...]
    repository_id: str
    default_branch: str
    url: str


def read_pull(payload: Mapping[str, Any]) -> PullRequest:
    """Read what an event says of a pull request.

    Raises:
        BadRequest: it names no number, no commit or no target.
    """
    pull = _object(payload, "pull_request")
    head, base = _object(pull, "head"), _object(pull, "base")
    number, sha = pull.get("number", payload.get("number")), head.get("sha")
    if not isinstance(number, int) or isinstance(number, bool) or not 0 < number < 10**9:
        raise BadRequest("the pull request has no `number`")
    if not isinstance(sha, str) or not _SHA.fullmatch(sha):
        raise BadRequest("the pull request has no commit in `head.sha`")
    target = _text(base.get("ref"))
    if not target or not target.isprintable():
        raise BadRequest("the pull request has no branch in `base.ref`")
    there = _object(payload, "repository") or _object(base, "repo")
    home = _object(head, "repo").get("id")
    here = _object(base, "repo").get("id", there.get("id"))
    state = _text(pull.get("state"))
    action = _text(payload.get("action"))
    urls = [one for name in _URLS if isinstance(one := there.get(name), str)]
    return PullRequest(
        action=action[:64],
        number=number,
        sha=sha,
        branch=_text(head.get("ref"))[:255],
        target=target,
        title=_text(pull.get("title"))[:255],
        author=_text(_object(pull, "user").get("login"))[:100],
        sender=_text(_object(payload, "sender").get("login"))[:100],
        # Where nothing is said of its home, it is nobody's own branch.
        is_fork=home is None or home != here,
        is_draft=pull.get("draft") is True,
        is_closed=state == "closed" or action == "closed",
        urls=tuple(urls),
        repository_id=str(there["id"])[:64] if isinstance(there.get("id"), int | str) else "",
        default_branch=_text(there.get("default_branch")),
        url=_text(pull.get("html_url"))[:500],
    )


def _object(payload: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = payload.get(name)
    return value if isinstance(value, dict) else {}


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
