"""Read what Git hosts send: bounded, and without holding up what else is served."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from aiohttp import web

from helvetia.kernel.errors import TooLarge
from helvetia.kernel.http.bodies import BODY_SECONDS, reading

from . import forges

# GitHub sends no more than this.
MAX_BYTES = 25 * 2**20
_CHUNK_BYTES = 256 * 1024
_LARGE_BYTES = 2**20


async def read_body(request: web.Request) -> bytes:
    """Read a body of any size that Git hosts send.

    Raises:
        TooLarge: it is larger than that.
    """
    content = request.content
    if content.is_eof() and content.exception() is None and content.total_bytes <= MAX_BYTES:
        # It came with the headers: nothing is waited for.
        return content.read_nowait()
    body = bytearray()
    async with reading(BODY_SECONDS):
        while chunk := await request.content.read(_CHUNK_BYTES):
            body += chunk
            if len(body) > MAX_BYTES:
                raise TooLarge(f"a delivery has at most {MAX_BYTES // 2**20} MiB")
    return bytes(body)


async def read_payload(headers: Mapping[str, Any], body: bytes) -> dict[str, Any]:
    """Return the JSON object of a body, see `forges.read_payload`; a large one takes a while.

    Args:
        headers: of the request, or those of them that were kept.
        body: as it came.

    Raises:
        BadRequest: it cannot be read.
    """
    content_type = str(headers.get("Content-Type", "")).partition(";")[0].strip().lower()
    if len(body) > _LARGE_BYTES:
        return await asyncio.to_thread(forges.read_payload, content_type, body)
    return forges.read_payload(content_type, body)
