"""Where the API of Git LFS is, and what it wants to be told by whoever comes.

Beside a repository read over https it is at a fixed place, and takes the same credentials. Beside
one read over SSH the host is asked by `git-lfs-authenticate`, as git-lfs itself does: it answers
with an address and with headers that are good for some minutes.
"""

from __future__ import annotations

import base64
import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Any
from urllib.parse import unquote, urlsplit

from helvetia import SourceError

from .addresses import Remote
from .failures import explain
from .session import GitSession, Output

_SSH_ITSELF_FAILED = 255
_LONGEST_ANSWER = 64 * 1024
_BY_HTTPS = "Read the repository by its https address, with a token if it is private."


@dataclass(frozen=True, slots=True)
class Door:
    """An address below which the API is, and headers for it and for nothing else."""

    url: str
    headers: Mapping[str, str] = field(repr=False)


async def find_door(session: GitSession) -> Door:
    """Return where to ask for the files of a session's repository.

    Raises:
        SourceError: the host lets nobody in, or not to files.
    """
    remote = session.remote
    if remote.protocol == "ssh":
        return await _ask_host(session)
    return Door(f"{_with_git(remote.url)}/info/lfs", _basic(session.access.credentials))


def _basic(credentials: Mapping[str, str]) -> dict[str, str]:
    password = credentials.get("password")
    if not password:
        return {}
    username = credentials.get("username") or "x-access-token"
    coded = base64.b64encode(f"{username}:{password}".encode()).decode()
    return {"Authorization": f"Basic {coded}"}


async def _ask_host(session: GitSession) -> Door:
    remote = session.remote
    target, path = ssh_place(remote)
    # One word for ssh: a shell of the host takes it apart.
    command = f"git-lfs-authenticate {shlex.quote(path)} download"
    told = await session.ask_host(target, command, output=Output(_LONGEST_ANSWER))
    if told.code == _SSH_ITSELF_FAILED:
        raise explain(told.errors, remote)
    if told.code:
        said = " ".join(told.errors.split())[:200] or "nothing"
        raise SourceError(
            f"{remote.host} gives no files of Git LFS over SSH; it says: {said}", hint=_BY_HTTPS
        )
    answer = _read(bytes(told.stdout), remote)
    headers = answer.get("header") or {}
    # A host may leave it out; then it is where it would be beside the same path over https.
    host = f"[{remote.host}]" if ":" in remote.host else remote.host
    url = answer.get("href") or f"https://{host}/{_with_git(path.lstrip('/'))}/info/lfs"
    if not isinstance(url, str) or not isinstance(headers, dict):
        raise _not_understood(remote)
    given = {str(name): str(value) for name, value in headers.items()}
    if not all(text.isprintable() for text in (url, *given, *given.values())):
        raise _not_understood(remote)
    if not url.startswith("https://") and not _is_this_machine(url):
        raise SourceError(f"The address of Git LFS that {remote.host} gives is not https.")
    return Door(url.rstrip("/"), given)


def ssh_place(remote: Remote) -> tuple[str, str]:
    """Return whom ssh connects to, and the path there, of a remote read over SSH."""
    if "://" in remote.url:
        parts = urlsplit(remote.url)
        user, path = parts.username, unquote(parts.path)
    else:
        before, _, path = remote.url.partition(":")
        user = before.rpartition("@")[0]
    return f"{user}@{remote.host}" if user else remote.host, path


def _read(raw: bytes, remote: Remote) -> dict[str, Any]:
    try:
        answer = json.loads(raw)
    except ValueError:
        answer = None
    if not isinstance(answer, dict):
        raise _not_understood(remote)
    return answer


def _not_understood(remote: Remote) -> SourceError:
    return SourceError(
        f"What {remote.host} says of Git LFS over SSH is not understood.", hint=_BY_HTTPS
    )


def _is_this_machine(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme == "http" and ip_address(parts.hostname or "").is_loopback
    except ValueError:
        return False


def _with_git(url: str) -> str:
    plain = url.rstrip("/")
    return plain if plain.endswith(".git") else f"{plain}.git"
