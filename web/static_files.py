"""Style, scripts and pictures: read once, kept by browsers for ever, renamed when changed."""

from __future__ import annotations

import functools
import hashlib
from dataclasses import dataclass
from pathlib import Path

from aiohttp import web

_FOLDER = Path(__file__).parent / "static"
_TEXTS = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
_TYPES = {**_TEXTS, ".woff2": "font/woff2"}


@dataclass(frozen=True, slots=True)
class _File:
    body: bytes
    media_type: str
    digest: str
    is_text: bool


@functools.cache
def _files() -> dict[str, _File]:
    """Return every file by name; no name a request has ever reaches the file system."""
    files: dict[str, _File] = {}
    for path in sorted(_FOLDER.rglob("*.*")):
        if media_type := _TYPES.get(path.suffix):
            body = path.read_bytes()
            digest = hashlib.sha256(body).hexdigest()[:12]
            files[path.name] = _File(body, media_type, digest, path.suffix in _TEXTS)
    return files


def static_url(name: str) -> str:
    """Return the address of a file; it changes with the content."""
    return f"/static/{name}?v={_files()[name].digest}"


async def serve(request: web.Request) -> web.StreamResponse:
    """Serve a file; for ever if it was asked for by its digest."""
    file = _files().get(request.match_info["name"])
    if file is None:
        raise web.HTTPNotFound
    # The style sheet names its font without a digest: a font of another version has another name.
    is_exact = request.query.get("v") == file.digest or not file.is_text
    charset = "utf-8" if file.is_text else None
    response = web.Response(body=file.body, content_type=file.media_type, charset=charset)
    response.headers["Cache-Control"] = (
        "public, max-age=31536000, immutable" if is_exact else "no-cache"
    )
    response.etag = file.digest
    if file.is_text:
        response.enable_compression()
    return response
