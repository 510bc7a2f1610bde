"""The images in one repository, as far as they are ours."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Iterable

from .client import Client
from .manifests import MEDIA_TYPE, Manifest, Part, is_tag, parse_manifest
from .problems import Refused
from .uploads import has_blob

_MAX_PAGES = 50
_NEXT = re.compile(r'<([^>]*)>\s*;\s*rel="?next"?')


class Repository:
    """Asks for manifests and their parts.

    Attributes:
        name: `<prefix>/<service id>`.
        installation: whose images are looked for.
    """

    def __init__(self, client: Client, name: str, *, installation: str) -> None:
        self._client = client
        self.name, self.installation = name, installation

    async def manifest(self, reference: str) -> Manifest | None:
        """Return the manifest under a digest or tag; None if there is none, or not of ours."""
        answer = await self._client.ask(
            "GET",
            self._path(reference),
            what=f"to show what {self.name} has",
            accept=(200, 404),
            headers={"Accept": MEDIA_TYPE},
        )
        found = parse_manifest(answer.body) if answer.status == 200 else None
        if found is None or found.installation != self.installation:
            return None
        if reference.startswith("sha256:") and found.digest != reference:
            raise Refused(
                f"the registry shows {found.digest} as {reference}", hint="is it damaged?"
            )
        return found

    async def missing(self, parts: Iterable[Part]) -> list[Part]:
        """Return those parts that the repository has not got."""
        asked = list(parts)
        there = await asyncio.gather(
            *(has_blob(self._client, self.name, part.digest, part.size) for part in asked)
        )
        return [part for part, is_there in zip(asked, there, strict=True) if not is_there]

    async def put(self, manifest: Manifest, tag: str) -> None:
        """Name an image whose parts are all there."""
        answer = await self._client.ask(
            "PUT",
            self._path(tag),
            what="to keep the image",
            accept=(200, 201, 202),
            headers={"Content-Type": MEDIA_TYPE},
            body=manifest.body,
        )
        said = answer.headers.get("docker-content-digest", manifest.digest)
        if said != manifest.digest:
            raise Refused(f"the registry keeps {manifest.digest} as {said}", hint="is it damaged?")

    async def delete(self, digest: str) -> None:
        """Forget an image, with all its tags."""
        await self._client.ask(
            "DELETE",
            self._path(digest),
            what="to forget an image",
            accept=(200, 202, 404),
        )

    async def manifests(self) -> list[Manifest]:
        """Return all images that are ours."""
        tags = [tag async for tag in self._tags() if is_tag(tag)]
        found = await asyncio.gather(*(self.manifest(tag) for tag in tags))
        return [manifest for manifest in found if manifest]

    async def _tags(self) -> AsyncIterator[str]:
        address = f"/v2/{self.name}/tags/list?n=100"
        for _ in range(_MAX_PAGES):
            answer = await self._client.ask(
                "GET", address, what=f"to list {self.name}", accept=(200, 404)
            )
            if answer.status == 404:
                return
            for tag in answer.document().get("tags") or []:
                yield str(tag)
            link = _NEXT.search(answer.headers.get("link", ""))
            if not link:
                return
            address = link[1]

    def _path(self, reference: str) -> str:
        return f"/v2/{self.name}/manifests/{reference}"
