"""Files of Git LFS, fetched by its batch API: no other program is needed for them.

What stands in the repository (`.lfsconfig`) leads nowhere: the API is asked on the host of the
repository, or where that host says over SSH, with the repository's own credentials, and these go
to no other host. Where the files themselves are, it says; public addresses only are connected to,
as for the repository.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import re
import secrets
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin, urlsplit

from helvetia import LogSink, SourceError
from helvetia.plugins.networks import guarded_connector

from .extras import find_pointers
from .failures import AccessDenied, HostDown
from .lfs_door import Door, find_door
from .revisions import git_folder
from .session import GitSession, too_large

if TYPE_CHECKING:
    import aiohttp

_POINTER = re.compile(
    rb"version https://git-lfs\.github\.com/spec/v1\n"
    rb"oid sha256:(?P<oid>[0-9a-f]{64})\nsize (?P<size>[0-9]{1,15})\n?"
)
_MEDIA = "application/vnd.git-lfs+json"
_MIB = 1024 * 1024
_AT_ONCE = 100
_STREAMS = 4
_CHUNK = 256 * 1024
_LONGEST_ANSWER = 8 * _MIB
_MOST_REDIRECTS = 3
_REDIRECTS = (301, 302, 303, 307, 308)
_STALLED_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Pointer:
    """What stands in the place of a file."""

    path: Path
    oid: str
    size: int


class LargeFiles:
    """Puts files into the places of their pointers.

    Args:
        session: with the repository that the pointers are of.
        allow_private: hosts of private networks are connected to as well.
        most_bytes: how large the files may be together.
    """

    def __init__(self, session: GitSession, *, allow_private: bool, most_bytes: int) -> None:
        self._session = session
        self._remote = session.remote
        self._allow_private = allow_private
        self._most = most_bytes

    async def fetch(self, folder: Path, log: LogSink) -> None:
        """Fetch what the pointers in a folder stand for.

        Raises:
            SourceError: something cannot be fetched, or it is too much.
        """
        pointers = await asyncio.to_thread(_pointers, folder)
        if not pointers:
            return
        size = sum(pointer.size for pointer in pointers)
        if size > self._most:
            raise too_large(max(self._most, 0) // _MIB)
        log.line(f"Fetching {len(pointers)} files of Git LFS, {size / _MIB:.1f} MiB")
        if self._remote.protocol == "file":
            await asyncio.to_thread(self._copy, pointers)
            return
        async with self._client() as client:
            for begin in range(0, len(pointers), _AT_ONCE):
                await self._fetch_some(client, pointers[begin : begin + _AT_ONCE])

    def _client(self) -> aiohttp.ClientSession:
        import aiohttp

        # No address was found: a proxy connects in our place, as it does for git.
        is_through_proxy = not self._session.access.addresses
        connector = guarded_connector(allow_private=self._allow_private or is_through_proxy)
        return aiohttp.ClientSession(
            connector=connector,
            trust_env=is_through_proxy,
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(
                total=None, connect=_STALLED_SECONDS, sock_read=_STALLED_SECONDS
            ),
            headers={"User-Agent": "git-lfs/3 (Helvetia)"},
        )

    async def _fetch_some(self, client: aiohttp.ClientSession, pointers: Sequence[Pointer]) -> None:
        # Each time anew: what a host gives over SSH is good for some minutes.
        door = await find_door(self._session)
        places = await self._ask(client, door, pointers)
        turns = asyncio.Semaphore(_STREAMS)

        async def fetch(pointer: Pointer) -> None:
            async with turns:
                href, headers = places[pointer.oid]
                await self._download(client, door, pointer, href, headers)

        try:
            async with asyncio.TaskGroup() as group:
                for pointer in pointers:
                    group.create_task(fetch(pointer))
        except ExceptionGroup as failed:
            raise failed.exceptions[0] from None

    async def _ask(
        self, client: aiohttp.ClientSession, door: Door, pointers: Sequence[Pointer]
    ) -> dict[str, tuple[str, dict[str, str]]]:
        """Return where files are, and with which headers they are asked for."""
        wanted = {pointer.oid: pointer.size for pointer in pointers}
        body = {
            "operation": "download",
            "transfers": ["basic"],
            "hash_algo": "sha256",
            "objects": [{"oid": oid, "size": size} for oid, size in wanted.items()],
        }
        url = f"{door.url}/objects/batch"
        headers = {**door.headers, "Accept": _MEDIA, "Content-Type": _MEDIA}
        data = json.dumps(body)
        async with self._exchange(client, "POST", url, headers=headers, data=data) as answer:
            _check(answer.status, "The LFS server")
            raw = await _read(answer)
        found: dict[str, tuple[str, dict[str, str]]] = {}
        for one in _objects(raw):
            oid = one.get("oid")
            if isinstance(oid, str) and oid in wanted:
                found[oid] = _place(door, one, _named(pointers, oid))
        for pointer in pointers:
            if pointer.oid not in found:
                raise SourceError(f"The LFS server says nothing of `{pointer.path.name}`.")
        return found

    async def _download(
        self,
        client: aiohttp.ClientSession,
        door: Door,
        pointer: Pointer,
        href: str,
        headers: dict[str, str],
    ) -> None:
        for _ in range(_MOST_REDIRECTS + 1):
            _admit(door, href, pointer.path.name)
            async with self._exchange(client, "GET", href, headers=headers) as answer:
                if answer.status not in _REDIRECTS:
                    _check(answer.status, f"The host of `{pointer.path.name}`")
                    await _write(answer, pointer)
                    return
                there = urljoin(href, answer.headers.get("Location", ""))
            if _origin(there) != _origin(href):
                # Meant for the host that was named, and for no other.
                headers = {}
            href = there
        raise SourceError(f"`{pointer.path.name}` leads from one address to the next.")

    def _exchange(
        self, client: aiohttp.ClientSession, method: str, url: str, **more: Any
    ) -> _Exchange:
        return _Exchange(client, method, url, self._remote.host, more)

    def _copy(self, pointers: Sequence[Pointer]) -> None:
        """Take files of a repository on this machine, whose owner has fetched them."""
        objects = git_folder(self._remote) / "lfs" / "objects"
        for pointer in pointers:
            there = objects / pointer.oid[:2] / pointer.oid[2:4] / pointer.oid
            if not there.is_file() or there.stat().st_size != pointer.size:
                raise SourceError(
                    f"The file of Git LFS `{pointer.path.name}` is not on this machine.",
                    hint="Fetch it first: `git lfs fetch`.",
                )
            temporary = _temporary(pointer)
            shutil.copyfile(there, temporary)
            _put(temporary, pointer)


def _place(door: Door, one: Mapping[str, Any], name: str) -> tuple[str, dict[str, str]]:
    """Return where a file is, and with which headers it is asked for."""
    if isinstance(error := one.get("error"), dict):
        said = " ".join(str(error.get("message", "")).split())[:200]
        raise SourceError(
            f"The LFS server has not got `{name}`: {said}.",
            hint="Push it with `git lfs push --all`.",
        )
    action = (one.get("actions") or {}).get("download") or {}
    href, headers = action.get("href"), action.get("header") or {}
    if not isinstance(href, str) or not isinstance(headers, dict):
        raise SourceError(f"The LFS server does not say where `{name}` is.")
    own = {str(key): str(value) for key, value in headers.items()}
    is_signed = one.get("authenticated") is True
    if not is_signed and _is_at(door, href) and "authorization" not in map(str.lower, own):
        own |= door.headers
    return href, own


def _admit(door: Door, href: str, name: str) -> None:
    """Refuse what is neither encrypted nor on the API's own host.

    Raises:
        SourceError: it is not.
    """
    if not href.startswith("https://") and not _is_at(door, href):
        raise SourceError(f"The address of `{name}` that the LFS server gives is not https.")


def _is_at(door: Door, href: str) -> bool:
    return _origin(href) == _origin(door.url) is not None


class _Exchange:
    """A request whose failures are told as those of the host."""

    def __init__(
        self, client: aiohttp.ClientSession, method: str, url: str, host: str, more: dict[str, Any]
    ) -> None:
        self._request = client.request(method, url, allow_redirects=False, **more)
        self._host = host

    async def __aenter__(self) -> aiohttp.ClientResponse:
        import aiohttp

        from helvetia.plugins.networks import NotPublic

        try:
            return await self._request.__aenter__()
        except aiohttp.ClientConnectorError as error:
            if isinstance(error.os_error, NotPublic):
                raise SourceError(
                    f"The LFS server of {self._host} leads to a host that is not on the public "
                    "network.",
                    hint="An operator may allow it with allow_private_hosts of [git].",
                ) from None
            raise HostDown("The LFS server does not answer.", hint="Try again later.") from None
        except ValueError:
            raise SourceError("The LFS server gives an address that cannot be asked.") from None
        except (aiohttp.ClientError, TimeoutError, OSError):
            raise HostDown("The LFS server does not answer.", hint="Try again later.") from None

    async def __aexit__(self, *error: Any) -> None:
        await self._request.__aexit__(*error)


def _check(status: int, who: str) -> None:
    if status in (401, 403, 404):
        raise AccessDenied(
            f"{who} answers {status}: it knows no such files, or the credentials do not "
            "reach them.",
            hint="Check that Git LFS is on for the repository, and what the token may read.",
        )
    if status == 429 or status >= 500:
        raise HostDown(f"{who} answers {status}.", hint="Try again later.")
    if status >= 300:
        raise SourceError(f"{who} answers {status}.")


async def _read(answer: aiohttp.ClientResponse) -> bytes:
    import aiohttp

    body = bytearray()
    try:
        async for chunk in answer.content.iter_chunked(_CHUNK):
            body += chunk
            if len(body) > _LONGEST_ANSWER:
                raise SourceError("The LFS server's answer is too large.")
    except (aiohttp.ClientError, TimeoutError):
        raise HostDown("The LFS server's answer did not come whole.", hint="Try again.") from None
    return bytes(body)


async def _write(answer: aiohttp.ClientResponse, pointer: Pointer) -> None:
    """Write a file into the place of its pointer, if it is the one that the pointer names."""
    import aiohttp

    temporary, size, digest = _temporary(pointer), 0, hashlib.sha256()
    try:
        with temporary.open("wb") as file:
            async for chunk in answer.content.iter_chunked(_CHUNK):
                size += len(chunk)
                if size > pointer.size:
                    break
                digest.update(chunk)
                await asyncio.to_thread(file.write, chunk)
    except (aiohttp.ClientError, TimeoutError):
        raise HostDown(f"`{pointer.path.name}` did not come whole.", hint="Try again.") from None
    if size != pointer.size or digest.hexdigest() != pointer.oid:
        raise SourceError(f"What the LFS server sends for `{pointer.path.name}` is not that file.")
    await asyncio.to_thread(_put, temporary, pointer)


def _temporary(pointer: Pointer) -> Path:
    return pointer.path.with_name(f".lfs-{secrets.token_hex(8)}")


def _put(temporary: Path, pointer: Pointer) -> None:
    temporary.chmod(pointer.path.stat().st_mode & 0o777)
    os.replace(temporary, pointer.path)


def _pointers(folder: Path) -> list[Pointer]:
    found = []
    for name in find_pointers(folder, most=200_000):
        path = folder / name
        if match := _POINTER.fullmatch(path.read_bytes()):
            found.append(Pointer(path, match["oid"].decode(), int(match["size"])))
    return found


def _objects(raw: bytes) -> list[dict[str, Any]]:
    try:
        listed = json.loads(raw)["objects"]
    except (ValueError, KeyError, TypeError):
        listed = None
    if not isinstance(listed, list):
        raise SourceError("The LFS server's answer is not understood.")
    return [one for one in listed if isinstance(one, dict)]


def _named(pointers: Sequence[Pointer], oid: str) -> str:
    return next(pointer.path.name for pointer in pointers if pointer.oid == oid)


def _origin(url: str) -> tuple[str, str, int | None] | None:
    try:
        parts = urlsplit(url)
        port = parts.port or {"https": 443, "http": 80}.get(parts.scheme)
    except ValueError:
        return None
    return parts.scheme, (parts.hostname or "").lower(), port
