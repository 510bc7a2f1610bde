"""Uploads: a packed folder as the source of a deployment."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator

from aiohttp import web
from pydantic import Field

from helvetia import Call, InvalidInput, Policy, Resource
from helvetia.kernel.errors import TooLarge
from helvetia.kernel.http.bodies import reading, refuse_encoding
from helvetia.kernel.http.problems import TooSlow, UnsupportedMedia
from helvetia.plugins.api import inputs, schemas

from .source import UploadSettings, uploads_folder
from .store import UploadStore

_TYPES = ("application/gzip", "application/x-gzip", "application/x-tar", "application/octet-stream")
_GZIP = b"\x1f\x8b"
_CHUNK_BYTES = 256 * 1024
_SILENCE_SECONDS = 30.0
_SLOWEST = 16 * 1024
resource = Resource("uploads")


class UploadQuery(inputs.Body):
    """What is said of the upload."""

    message: str = Field(
        "", max_length=200, pattern=r"^[^\x00-\x1f]*$", description="stands where a commit's would"
    )


@resource.post(
    "/api/v1/uploads",
    policy=Policy.MEMBER,
    summary="Upload a folder",
    status=201,
    body_media="application/gzip",
    errors=[TooLarge, UnsupportedMedia, InvalidInput],
)
async def create(call: Call, query: UploadQuery) -> schemas.Upload:
    """Keep a tar.gz and return the source by which it is deployed; the same bytes are one."""
    refuse_encoding(call.request)
    if call.request.content_type not in _TYPES:
        raise UnsupportedMedia("the body must be a tar.gz", hint="send it as application/gzip")
    max_mib = call.platform.section(UploadSettings).max_archive_mib
    max_bytes = max_mib * 2**20
    if (call.request.content_length or 0) > max_bytes:
        raise TooLarge(f"the upload is larger than {max_mib} MiB")
    store = UploadStore(uploads_folder(call.platform))
    digest = await store.add(_chunks(call.request), max_bytes=max_bytes, message=query.message)
    return schemas.Upload(source=f"upload:{digest}")


async def _chunks(request: web.Request) -> AsyncIterator[bytes]:
    """Go through the body; whoever sends nothing for a while, or next to nothing, is sent away."""
    begun = b""
    began = time.monotonic()
    received = 0
    while True:
        async with reading(_SILENCE_SECONDS):
            chunk = await request.content.read(_CHUNK_BYTES)
        if not chunk:
            break
        received += len(chunk)
        if time.monotonic() - began > _SILENCE_SECONDS + received / _SLOWEST:
            raise TooSlow(f"the upload came slower than {_SLOWEST // 1024} KiB/s")
        if len(begun) < len(_GZIP):
            begun += chunk[: len(_GZIP)]
            if not _GZIP.startswith(begun[: len(_GZIP)]):
                break
        yield chunk
    if begun[: len(_GZIP)] != _GZIP:
        raise InvalidInput("archive", "is not a tar.gz")
