"""Uploads: a packed folder as the source of a deployment."""

from __future__ import annotations

from collections.abc import AsyncIterator

from aiohttp import web
from pydantic import Field

from helvetia.kernel.errors import InvalidInput, TooLarge
from helvetia.kernel.http import schemas
from helvetia.kernel.http.access import Policy
from helvetia.kernel.http.bodies import reading, refuse_encoding
from helvetia.kernel.http.context import Call
from helvetia.kernel.http.problems import UnsupportedMedia
from helvetia.kernel.http.routing import Resource
from helvetia.kernel.uploads import UploadStore

_TYPES = ("application/gzip", "application/x-gzip", "application/x-tar", "application/octet-stream")
_GZIP = b"\x1f\x8b"
_CHUNK_BYTES = 256 * 1024
_SILENCE_SECONDS = 30.0
resource = Resource("uploads")


class UploadQuery(schemas.Body):
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
    max_mb = call.platform.options.max_upload_mb
    if (call.request.content_length or 0) > max_mb * 2**20:
        raise TooLarge(f"the upload is larger than {max_mb} MiB")
    store = UploadStore(call.platform.folder("uploads"))
    digest = await store.add(_chunks(call.request), max_bytes=max_mb * 2**20, message=query.message)
    return schemas.Upload(source=f"upload:{digest}")


async def _chunks(request: web.Request) -> AsyncIterator[bytes]:
    """Go through the body; whoever sends nothing for a while is sent away."""
    begun = b""
    while True:
        async with reading(_SILENCE_SECONDS):
            chunk = await request.content.read(_CHUNK_BYTES)
        if not chunk:
            break
        if len(begun) < len(_GZIP):
            begun += chunk[: len(_GZIP)]
            if not _GZIP.startswith(begun[: len(_GZIP)]):
                break
        yield chunk
    if begun[: len(_GZIP)] != _GZIP:
        raise InvalidInput("archive", "is not a tar.gz")
