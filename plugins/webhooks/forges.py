"""What Git hosts send: who signed it, what it is called, and what a push says.

GitHub's form is the common one: Gitea, Forgejo and Gogs send it too. GitLab has its own.
Nothing here believes more than it must: hosts and their versions leave fields out.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs

from helvetia.kernel.http.problems import BadRequest

_EVENT_HEADERS = ("X-GitHub-Event", "X-Gitea-Event", "X-Gogs-Event", "X-Gitlab-Event")
_KEY_HEADERS = ("X-GitHub-Delivery", "X-Gitea-Delivery", "X-Gogs-Delivery", "X-Gitlab-Event-UUID")
_KEPT_HEADERS = (*_EVENT_HEADERS, *_KEY_HEADERS, "Content-Type", "User-Agent")
_GITLAB_EVENTS = {"Push Hook": "push", "Tag Push Hook": "push"}
_URLS = (
    "clone_url", "ssh_url", "git_url", "html_url",
    "git_http_url", "git_ssh_url", "web_url",
)  # fmt: skip
_SHA = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?")
# GitHub says so of its own events: fewer would be said, more are cut off.
_MOST_COMMITS = 2048
_MOST_FILES = 3000
UNNAMED = "push"


@dataclass(frozen=True, slots=True, kw_only=True)
class Push:
    """A push.

    Attributes:
        sha: the commit now at the ref; None if the ref is gone.
        changed: the files that changed; None if that cannot be told from the payload.
        default_branch: of the repository; "" if it is not said.
        urls: every address by which the host calls the repository.
        repository_id: the host's own number of it; "" if it is not said.
    """

    ref: str
    sha: str | None
    message: str
    changed: frozenset[str] | None
    default_branch: str
    urls: tuple[str, ...]
    repository_id: str


def event_name(headers: Mapping[str, str]) -> str:
    """Return the name of the event in GitHub's words; one that is not named is a push."""
    name = next((headers[header] for header in _EVENT_HEADERS if header in headers), UNNAMED)
    return _GITLAB_EVENTS.get(name, name)[:64]


def delivery_key(headers: Mapping[str, str], body: bytes) -> str:
    """Return what is the same when a delivery is sent again."""
    for header in _KEY_HEADERS:
        if key := headers.get(header, "").strip():
            return f"{header[2:].split('-')[0].lower()}:{key}"[:200]
    return f"sha256:{hashlib.sha256(body).hexdigest()}"


def kept_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """Return the headers that are worth keeping; none of them is a credential."""
    return {name: headers[name][:400] for name in _KEPT_HEADERS if name in headers}


def unsigned(headers: Mapping[str, str], body: bytes, secret: str) -> str:
    """Return why a delivery cannot be believed; "" if whoever sent it knows the secret.

    Compared in constant time, over the bytes as they came.
    """
    wanted = hmac.digest(secret.encode(), body, "sha256").hex()
    if (given := headers.get("X-Hub-Signature-256")) is not None:
        is_same = _same(given, f"sha256={wanted}")
        return "" if is_same else "the signature in X-Hub-Signature-256 is not of this body"
    if (given := headers.get("X-Gitea-Signature")) is not None:
        return "" if _same(given, wanted) else "the signature in X-Gitea-Signature is wrong"
    if (given := headers.get("X-Gitlab-Token")) is not None:
        return "" if _same(given, secret) else "the token in X-Gitlab-Token is wrong"
    return "it is not signed: no X-Hub-Signature-256, X-Gitea-Signature or X-Gitlab-Token"


def _same(given: str, wanted: str) -> bool:
    return hmac.compare_digest(given.encode("utf-8", "surrogateescape"), wanted.encode())


def read_payload(content_type: str, body: bytes) -> dict[str, Any]:
    """Return the JSON object in a body, or in the field `payload` of a form.

    Raises:
        BadRequest: there is none.
    """
    text: bytes | str = body
    try:
        # `curl -d` calls JSON a form too.
        if content_type == "application/x-www-form-urlencoded" and body.lstrip()[:1] != b"{":
            text = parse_qs(body.decode(), strict_parsing=True, max_num_fields=16)["payload"][0]
        payload = json.loads(text)
    except (ValueError, KeyError, RecursionError):
        raise BadRequest("the payload is not JSON") from None
    if not isinstance(payload, dict):
        raise BadRequest("the payload is not a JSON object")
    return payload


def read_push(payload: Mapping[str, Any]) -> Push:
    """Read what a push says.

    Raises:
        BadRequest: it names no ref, or no commit.
    """
    ref, after = payload.get("ref"), payload.get("after")
    if not isinstance(ref, str) or not ref.isprintable() or len(ref) > 512:
        raise BadRequest("the push has no `ref`")
    gone = payload.get("deleted") is True or (isinstance(after, str) and not after.strip("0"))
    if not gone and not (isinstance(after, str) and _SHA.fullmatch(after)):
        raise BadRequest("the push has no commit in `after`")
    repository = _object(payload, "repository") or _object(payload, "project")
    # GitLab says more of it under another name.
    project = _object(payload, "project") or repository
    urls = [one for source in (repository, project) for name in _URLS if (one := source.get(name))]
    number = project.get("id")
    return Push(
        ref=ref,
        sha=None if gone else after,
        message=_message(payload),
        changed=None if payload.get("forced") is True else _changed(payload.get("commits")),
        default_branch=_text(project.get("default_branch")),
        urls=tuple(dict.fromkeys(url for url in urls if isinstance(url, str))),
        repository_id=str(number)[:64] if isinstance(number, int | str) else "",
    )


def _message(payload: Mapping[str, Any]) -> str:
    """Return the message of the newest commit of the push."""
    head = _object(payload, "head_commit")
    if not head:
        known = [one for one in _list(payload.get("commits")) if isinstance(one, dict)]
        head = next((one for one in known if one.get("id") == payload.get("after")), {})
    return _text(head.get("message"))


def _changed(commits: object) -> frozenset[str] | None:
    """Return the files of all commits; None where some may not be listed."""
    if not isinstance(commits, list) or not commits or len(commits) >= _MOST_COMMITS:
        return None
    files: set[str] = set()
    for commit in commits:
        if not isinstance(commit, dict):
            return None
        lists = [commit.get(kind) for kind in ("added", "modified", "removed")]
        if not all(isinstance(names, list) for names in lists):
            return None
        names = [name for names in lists for name in _list(names)]
        # A merge may list nothing at all, and long lists are cut off.
        if not names or len(names) >= _MOST_FILES:
            return None
        files.update(name for name in names if isinstance(name, str))
    return frozenset(files)


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _object(payload: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = payload.get(name)
    return value if isinstance(value, dict) else {}


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
