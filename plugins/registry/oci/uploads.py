"""One blob on its way into a repository: at once or in parts, and again when it is cut off."""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections.abc import AsyncIterator, Callable

from yarl import URL

from .blobs import Blob
from .client import Client
from .problems import Answer, Refused

_TIDY_SECONDS = 2.0
_STREAM = "application/octet-stream"


async def has_blob(client: Client, repository: str, digest: str, size: int) -> bool:
    """Tell whether a repository has a blob, whole."""
    answer = await client.ask(
        "HEAD",
        f"/v2/{repository}/blobs/{digest}",
        what=f"to show what {repository} has",
        accept=(200, 301, 302, 307, 308, 404),  # it may lead to where the blob lies
    )
    length = answer.headers.get("content-length", "")
    return answer.status != 404 and (answer.status != 200 or length in ("", str(size)))


async def mount(client: Client, repository: str, digest: str, origin: str) -> bool:
    """Let a repository have a blob that another one has got; tell whether it worked."""
    uploads = URL(f"/v2/{repository}/blobs/uploads/")
    answer = await client.ask(
        "POST",
        uploads.with_query({"mount": digest, "from": origin}),
        what=f"to lend a layer of {origin}",
        accept=(201, 202, 401, 403, 404, 405),
    )
    if answer.status == 202:
        await _forget(client, answer.headers.get("location", ""))
    return answer.status == 201


class Upload:
    """Uploads a blob.

    Args:
        what: `to keep layer 2 of 5`, for errors.
        part: bytes of one request; 0 sends the blob in a single one.
        tell: is called with the number of bytes that are gone.
    """

    def __init__(
        self,
        client: Client,
        repository: str,
        blob: Blob,
        *,
        what: str,
        part: int = 0,
        tell: Callable[[int], None] = lambda done: None,
    ) -> None:
        self._client, self._repository, self._blob = client, repository, blob
        self._what, self._tell = what, tell
        self._part = part if part < blob.size else 0
        self._location = ""
        self._done = 0

    async def run(self) -> None:
        """Upload it, unless it is there.

        Raises:
            Refused: the registry does not take it, or is away for too long.
        """
        try:
            await self._client.persistently(self._attempt)
        except BaseException:
            await _forget(self._client, self._location)
            raise

    async def _attempt(self) -> None:
        blob = self._blob
        # Also after a failure: the answer may be all that was lost.
        if await has_blob(self._client, self._repository, blob.digest, blob.size):
            return
        if not (self._location and self._part and await self._resume()):
            await self._begin()
        while self._part and self._done < blob.size:
            await self._send_part()
        answer = await self._send("PUT", self._done, blob.size, 201, digest=blob.digest)
        self._location = ""
        said = answer.headers.get("docker-content-digest", blob.digest)
        if said != blob.digest:
            raise Refused(f"the registry keeps {blob.digest} as {said}", hint="is it damaged?")

    async def _begin(self) -> None:
        await _forget(self._client, self._location)
        answer = await self._client.ask(
            "POST",
            f"/v2/{self._repository}/blobs/uploads/",
            what=self._what,
            accept=(202,),
            headers={"Content-Length": "0"},
        )
        self._done = 0
        self._follow(answer)

    async def _resume(self) -> bool:
        """Ask how much has arrived; a registry that was restarted may not know."""
        answer = await self._client.ask(
            "GET", self._location, what=self._what, accept=(204, 400, 404, 416)
        )
        end = answer.headers.get("range", "").rpartition("-")[2]
        if answer.status != 204 or not end.isdecimal():
            return False
        self._done = int(end) + 1 if int(end) else 0
        self._follow(answer)
        return self._done <= self._blob.size

    async def _send_part(self) -> None:
        end = min(self._done + self._part, self._blob.size)
        answer = await self._send("PATCH", self._done, end, 202)
        self._done = end
        self._follow(answer)

    async def _send(
        self, method: str, start: int, end: int, wanted: int, *, digest: str = ""
    ) -> Answer:
        address = self._location
        headers = {"Content-Length": str(end - start), "Content-Type": _STREAM}
        if digest:
            # Nothing else of the address may change: it can bear a signature.
            address = f"{address}{'&' if '?' in address else '?'}digest={digest}"
        else:
            headers["Content-Range"] = f"{start}-{end - 1}"
        return await self._client.ask(
            method,
            address,
            what=self._what,
            accept=(wanted,),
            headers=headers,
            body=functools.partial(self._read, start, end),
        )

    async def _read(self, start: int, end: int) -> AsyncIterator[bytes]:
        done = start
        async for chunk in self._blob.read(start, end):
            self._tell(done)
            yield chunk
            done += len(chunk)

    def _follow(self, answer: Answer) -> None:
        self._location = answer.headers.get("location", "")
        if not self._location:
            raise Refused("the registry does not say where to upload to")


async def _forget(client: Client, location: str) -> None:
    """Give an upload up, if the registry is there to hear of it.

    docker-registry refuses that in the middle of a request's body, and removes it a week later.
    """
    with contextlib.suppress(Exception):
        async with asyncio.timeout(_TIDY_SECONDS):
            if location:
                await client.ask("DELETE", location, what="to forget an upload")
