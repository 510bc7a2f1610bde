"""Style, scripts and pictures: read once, kept by browsers for ever, renamed when changed."""

from __future__ import annotations

import functools
import hashlib
from dataclasses import dataclass
from pathlib import Path

from aiohttp import web

_FOLDER = Path(__file__).parent / "static"
_TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}


@dataclass(frozen=True, slots=True)
class _File:
    body: bytes
    media_type: str
    digest: str


@functools.cache
def _files() -> dict[str, _File]:
    """Return every file by name; no name a request has ever reaches the file system."""
    files: dict[str, _File] = {}
    for path in sorted(_FOLDER.iterdir()):
        if media_type := _TYPES.get(path.suffix):
            body = path.read_bytes()
            files[path.name] = _File(body, media_type, hashlib.sha256(body).hexdigest()[:12])
    return files


def static_url(name: str) -> str:
    """Return the address of a file; it changes with the content."""
    return f"/static/{name}?v={_files()[name].digest}"


async def serve(request: web.Request) -> web.StreamResponse:
    """Serve a file; for ever if it was asked for by its digest."""
    file = _files().get(request.match_info["name"])
    if file is None:
        raise web.HTTPNotFound
    is_exact = request.query.get("v") == file.digest
    response = web.Response(body=file.body, content_type=file.media_type, charset="utf-8")
    response.headers["Cache-Control"] = (
        "public, max-age=31536000, immutable" if is_exact else "no-cache"
    )
    response.etag = file.digest
    response.enable_compression()
    return response
